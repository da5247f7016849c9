// The attacks of docs/ATTACKS.md that need no key: somebody who is in the study, or in between, says one wrong thing. It is refused by
// name, recorded, and costs one connection; the study ends with the bits that it has in peace.

import { describe, expect, test } from 'vitest';
import { encodeMessage, hello, message, type Message, planHash, welcome } from '../../src/protocol/index.ts';
import { type Tensor, tensor, zeros } from '../../src/tensor/index.ts';
import { createMemoryListener, createMemoryPair } from '../../src/transport/index.ts';
import { planStudy, twoClasses } from '../harness/study.ts';
import { type Attacker, HostileProxy, type Injection } from './hostile-proxy.ts';
import { frameOf } from './mutations.ts';
import { hastyClock, type Outcome, serve, takePart } from './party.ts';
import { received } from './pretender.ts';

const logits = { name: 'lipid-mlp', options: { inputs: 7 }, loss: 'binary-cross-entropy' } as const;
const planned = planStudy({ counts: [30, 20, 10], network: logits, task: twoClasses });
const other = planStudy({ counts: [30, 20, 10], network: logits, task: twoClasses, seed: 2 });

/** The first honest message of a kind and direction, made wrong; or what came before it, for a message that comes too late. */
interface Attack {
  readonly direction: 'up' | 'down';
  readonly kind: Message['kind'];
  readonly change: (honest: Message, before: Message | undefined) => Message;
  readonly code: string;
}

/** Attacks once. */
class Once implements Attacker {
  readonly #attack: Attack;
  #before: Message | undefined;
  injected = 0;
  code = '';

  constructor(attack: Attack) {
    this.#attack = attack;
  }

  choose(direction: 'up' | 'down', honest: Message): Injection | undefined {
    const { kind, change } = this.#attack;
    if (this.injected > 0 || direction !== this.#attack.direction || honest.kind !== kind) return undefined;
    const before = this.#before;
    this.#before = honest;
    const bad = change(honest, before);
    // What is to come late waits for something that came before it.
    if (bad === honest) return undefined;
    this.injected += 1;
    return { frame: frameOf(bad), kind, field: 'bytes', direction, pastDecoder: true };
  }

  refused(_injection: Injection, code: string): void {
    this.code = code;
  }

  withdrawn(): void {
    this.injected -= 1;
  }
}

async function runStudy(attacker?: Attacker): Promise<Outcome[]> {
  const listener = createMemoryListener();
  const between = createMemoryListener();
  const proxy = attacker && HostileProxy.between(between, () => listener.connect(), attacker);
  const settings = { clock: hastyClock, timeoutMs: 60_000 };
  const ends = await Promise.all([
    serve(planned, listener, settings),
    ...planned.plan.sites.map((_, site) =>
      takePart(planned, site, () => (proxy ? between : listener).connect(), settings),
    ),
  ]);
  await proxy?.close();
  expect(proxy?.problems ?? []).toEqual([]);
  return ends;
}

const bitsOf = (ends: readonly Outcome[]) => ends.map(({ parameters, figures }) => ({ parameters, figures }));
const inPeace = runStudy();

/** The message with its first tensor of that name changed. */
function withTensor(honest: Message, name: string, change: (honest: Tensor) => Tensor): Message {
  const tensors = honest.tensors.map((named) => (named.name === name ? { name, tensor: change(named.tensor) } : named));
  return { ...honest, tensors };
}

/** A tensor with one value replaced. */
const with1 = (value: number) => (honest: Tensor): Tensor => {
  const data = honest.data.slice() as Float32Array<ArrayBuffer>;
  data[data.length >> 1] = value;
  return tensor(honest.dtype, honest.dims, data);
}; // prettier-ignore

const rows: readonly (readonly [string, Attack])[] = [
  ...(['up', 'down'] as const).flatMap((direction): (readonly [string, Attack])[] => {
    const kind = direction === 'up' ? 'activations' : 'cut-gradient';
    const who = direction === 'up' ? 'a site’s' : 'a server’s';
    const on = (change: Attack['change'], code: string): Attack => ({ direction, kind, change, code });
    return [
      [`${who} step out of order`, on((honest) => ({ ...honest, step: honest.step + 1 }), 'out-of-order')],
      [`${who} message out of order`, on((honest) => ({ ...honest, sequence: honest.sequence + 1 }), 'out-of-order')],
      [
        `${who} duplicate step`,
        on((honest, before) => (before && before.sequence < honest.sequence ? before : honest), 'out-of-order'),
      ],
      [`${who} step of more epochs than the plan has`, on((honest) => ({ ...honest, epoch: 99 }), 'out-of-order')],
      [
        `${who} tensor of another type`,
        on((honest) => withTensor(honest, 'cut', ({ dims }) => zeros('float64', dims)), 'bad-shape'),
      ],
      [
        `${who} tensor of another shape`,
        on((honest) => withTensor(honest, 'cut', ({ dims }) => zeros('float32', [...dims, 1])), 'bad-shape'),
      ],
      [
        `${who} oversized tensor`,
        on(
          (honest) =>
            withTensor(honest, 'cut', ({ dims: [rows = 1, ...rest] }) => zeros('float32', [5000 * rows, ...rest])),
          'bad-shape',
        ),
      ],
      [`${who} NaN`, on((honest) => withTensor(honest, 'cut', with1(Number.NaN)), 'not-finite')],
      [`${who} infinity`, on((honest) => withTensor(honest, 'cut', with1(Number.NEGATIVE_INFINITY)), 'not-finite')],
      [
        `${who} tensor that the plan does not have`,
        on(
          (honest) => ({ ...honest, tensors: [...honest.tensors, { name: 'more', tensor: zeros('float32', [1]) }] }),
          'bad-shape',
        ),
      ],
      [
        `${who} weights that the plan does not have`,
        on((honest) => ({ ...message('weights'), sequence: honest.sequence }), 'out-of-order'),
      ],
    ];
  }),
  [
    'a site’s label that is no class',
    {
      direction: 'up',
      kind: 'activations',
      change: (honest) => withTensor(honest, 'labels', with1(2)),
      code: 'bad-field',
    },
  ],
  [
    'a site’s census of counts that do not add up',
    { direction: 'up', kind: 'census', change: (honest) => withTensor(honest, 'counts', with1(3)), code: 'bad-field' },
  ],
  [
    'a server’s counts that are not what the site said',
    {
      direction: 'down',
      kind: 'pooled',
      change: (honest) =>
        withTensor(honest, 'counts', ({ dims, data }) => tensor('int32', dims, (data as Int32Array).map((n) => n + 1))), // prettier-ignore
      code: 'bad-field',
    },
  ],
  [
    'a site’s changed plan',
    {
      direction: 'up',
      kind: 'hello',
      change: ({ site }) => hello(site, planHash(other.plan), 0),
      code: 'plan-mismatch',
    },
  ],
];

describe('is refused by name, recorded, and changes no bit', () => {
  test.each(rows)('%s', async (_, attack) => {
    const attacker = new Once(attack);
    const ends = await runStudy(attacker);
    const [server, ...sites] = ends;
    expect({ injected: attacker.injected, code: attacker.code }).toEqual({ injected: 1, code: attack.code });
    expect(bitsOf(ends)).toEqual(bitsOf(await inPeace));
    const lost = sites.map(({ tally }) => tally[`lost ${attack.code}`] ?? 0).reduce((sum, times) => sum + times, 0);
    if (attack.direction === 'up') expect(server!.tally[`refused ${attack.code}`]).toBe(1);
    else expect(lost).toBe(1);
    // At most one site had to connect again.
    expect(sites.filter(({ tally }) => tally['connected'] !== 1).length).toBeLessThanOrEqual(1);
  });
});

test('a server with a changed plan gets nothing from a site, which says why it goes', async () => {
  const [near, far] = createMemoryPair();
  const site = takePart(planned, 0, async () => near).catch((error: unknown) => error);
  expect(await received(far)).toMatchObject({ kind: 'hello' });
  await far.send(encodeMessage(welcome(planHash(other.plan), 0)));
  expect(await received(far)).toMatchObject({ kind: 'refuse', text: expect.stringMatching(/^plan-mismatch: /) });
  expect(await received(far)).toBeUndefined();
  expect(await site).toMatchObject({ name: 'ProtocolError', code: 'plan-mismatch' });
});

test('a site of a foreign study is refused by name, and learns nothing of this one', async () => {
  const listener = createMemoryListener();
  const ending = new AbortController();
  const told: string[] = [];
  const server = serve(planned, listener, { signal: ending.signal }, (event) => {
    if (event.kind === 'refused') told.push(event.code);
  }).catch((error: unknown) => error);
  const foreign = takePart(other, 0, () => listener.connect()).catch((error: unknown) => error);
  const error = (await foreign) as Error;
  expect(error).toMatchObject({ code: 'refused-by-peer', message: expect.stringContaining('plan-mismatch') });
  expect(error.message).not.toContain(planHash(planned.plan));
  expect(told).toEqual(['plan-mismatch']);
  ending.abort(new Error('enough'));
  await server;
});
