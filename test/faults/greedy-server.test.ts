// A server that wants more than the plan says: a site refuses each such message, sends nothing for it, and records what was refused.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  decodeMessage,
  type Exchange,
  type Message,
  message,
  planHash,
  type ScriptFacts,
  standingValues,
  unknownFacts,
  Session,
  siteScript,
  type Values,
  welcome,
} from '../../src/protocol/index.ts';
import {
  openFileLedger,
  openKeyFile,
  readLedger,
  type RecordedEntry,
  type SigningKey,
  verifyLedger,
} from '../../src/store/node/index.ts';
import { tensor, type Tensor, zeros } from '../../src/tensor/index.ts';
import { type Connection, createMemoryListener, type Listener } from '../../src/transport/index.ts';
import { planStudy } from '../harness/study.ts';
import { frameOf } from './mutations.ts';
import { hastyClock, type Planned, takePart } from './party.ts';

const planned = planStudy({ counts: [30], choices: { segments: 'private' }, training: { epochs: 2 } });
const hash = planHash(planned.plan);

/** What the server sends instead of a line, or after the last one (undefined). */
type Greed = (line: Exchange | undefined, position: number) => Message | undefined;

/** A server that follows the script of its only site with zeros, but for its greed. */
class GreedyServer {
  readonly #session: Session;
  readonly #facts: ScriptFacts;
  readonly #greed: Greed;
  readonly #plan: string;
  /** What came up, but hellos. */
  readonly heard: Message[] = [];
  /** Connections, and those on which there was a hello. */
  met = 0;
  greeted = 0;

  constructor({ plan }: Planned, greed: Greed, welcomeTo = planHash(plan)) {
    this.#facts = unknownFacts(plan);
    this.#session = new Session('server', siteScript(plan, 0, this.#facts));
    this.#greed = greed;
    this.#plan = welcomeTo;
  }

  async serve(listener: Listener): Promise<void> {
    for (let connection = await listener.accept(); connection; connection = await listener.accept()) {
      // A site that has enough closes.
      await this.#talk(connection).catch(() => undefined);
      await connection.close();
    }
  }

  async #talk(connection: Connection): Promise<void> {
    this.met += 1;
    const hello = await next(connection);
    this.greeted += 1;
    await connection.send([frameOf(welcome(this.#plan, this.#session.position))]);
    for (const again of this.#session.resendFrom(hello.sequence)) await connection.send([frameOf(again)]);
    for (;;) {
      const line = this.#session.expected;
      const wanted = this.#greed(line, this.#session.position);
      if (wanted) await connection.send([frameOf(wanted)]);
      if (wanted || !line) for (;;) this.heard.push(await next(connection));
      if (line.direction === 'down') await connection.send([frameOf(this.#compose(line))]);
      else this.#take(await next(connection));
    }
  }

  #take(received: Message): void {
    this.heard.push(received);
    this.#session.accept(received);
  }

  #compose(line: Exchange): Message {
    if (line.kind === 'pooled') {
      const [counts, classes, sums] = this.heard.at(-1)!.tensors.map((named) => named.tensor) as [
        Tensor,
        Tensor,
        Tensor,
      ];
      const [train, val, test] = counts.data as Int32Array;
      this.#facts.counts = [{ train: train!, val: val!, test: test! }];
      const { members, scalars } = standingValues(this.#facts.standing, 0);
      const counted = tensor('int32', [1, 3], counts.data as Int32Array<ArrayBuffer>);
      return this.#session.compose('pooled', { tensors: { counts: counted, classes, sums, members }, scalars });
    }
    const values: Values = {
      tensors: Object.fromEntries(line.tensors.map(({ name, dtype, dims }) => [name, zeros(dtype, dims)])),
      scalars: new Array<number>(line.scalars).fill(0),
    };
    return this.#session.compose(line.kind, values);
  }
}

async function next(connection: Connection): Promise<Message> {
  const frame = await connection.receive();
  if (!frame) throw new Error('the site closed');
  return decodeMessage(frame);
}

describe('a server that', () => {
  let root: string;
  let key: SigningKey;
  let count = 0;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'septum-greedy-'));
    key = await openKeyFile(join(root, 'site.key'));
  });
  afterAll(() => rm(root, { recursive: true }));

  /** The site's end against such a server, with its ledger's entries. */
  async function against(server: GreedyServer) {
    const folder = join(root, `ledger-${(count += 1)}`);
    const listener = createMemoryListener();
    const serving = server.serve(listener);
    const entries: RecordedEntry[] = [];
    let error: unknown;
    {
      await using ledger = await openFileLedger(folder, key);
      const settings = { clock: hastyClock, ledger };
      error = await takePart(planned, 0, () => listener.connect(), settings).catch((caught: unknown) => caught);
    }
    await listener.close();
    await serving;
    for await (const entry of readLedger(folder)) entries.push(entry);
    expect((await verifyLedger(folder, key.publicKey)).problem).toBeUndefined();
    return {
      error,
      refused: entries.filter(({ what }) => what === 'refused'),
      sent: entries.filter(({ what }) => what === 'sent').map((entry) => String(entry['kind'])),
    };
  }

  const atKind =
    (kind: string, want: (line: Exchange, position: number) => Message): Greed =>
    (line, position) =>
      line?.kind === kind && line.direction === 'down' ? want(line, position) : undefined;

  /** `pooled` of a study of one site that stands where the scalars say: step, epochs, base, whether it is over. */
  const pooledWith = (standing: readonly number[]) =>
    atKind('pooled', ({ tensors }, sequence) =>
      message('pooled', {
        sequence,
        scalars: [0, ...standing],
        tensors: tensors.map(({ name, dtype, dims }) => ({
          name,
          tensor:
            name === 'counts'
              ? tensor('int32', [1, 3], Int32Array.of(30, 8, 8))
              : name === 'members'
                ? tensor('int32', [1], Int32Array.of(1))
                : zeros(dtype, dims),
        })),
      }),
    );

  test('keeps to the plan is served to the end, and nothing is refused', async () => {
    const { error, refused, sent } = await against(new GreedyServer(planned, () => undefined));
    expect(error).not.toBeInstanceOf(Error);
    expect(refused).toEqual([]);
    expect(sent).toContain('weights');
    expect(sent.at(-1)).toBe('acknowledge');
  });

  test('runs another plan is sent a hello and no more', async () => {
    const server = new GreedyServer(
      planned,
      () => undefined,
      hash.replace(/^./, (digit) => (digit === '0' ? '1' : '0')),
    );
    const { error, refused, sent } = await against(server);
    expect(error).toMatchObject({ code: 'plan-mismatch' });
    expect(refused).toEqual([
      expect.objectContaining({ code: 'plan-mismatch', text: expect.stringContaining('plan') }),
    ]);
    expect(sent).toEqual(['hello', 'refuse']);
    expect(server.heard.map(({ kind }) => kind)).toEqual(['refuse']);
  });

  test.each<[string, Greed, string, RegExp]>([
    [
      'asks for the segment after the first step',
      atKind('cut-gradient', (_, sequence) => message('turn', { sequence })),
      'out-of-order',
      /expected cut-gradient .* got turn/,
    ],
    [
      'sends weights that the plan has the site keep',
      atKind('verdict', ({ epoch }, sequence) =>
        message('weights', {
          sequence,
          epoch,
          scalars: [1],
          tensors: [{ name: 'segment.w0', tensor: zeros('float32', [4]) }],
        }),
      ),
      'out-of-order',
      /expected verdict .* got weights/,
    ],
    [
      'wants one more epoch',
      atKind('weights', (_, sequence) => message('cut-gradient', { sequence, epoch: 2, scalars: [0] })),
      'out-of-order',
      /expected weights .* got cut-gradient/,
    ],
    [
      'skips an epoch',
      atKind('verdict', (_, sequence) => message('verdict', { sequence, epoch: 1, scalars: [1, 0] })),
      'out-of-order',
      /verdict: expected epoch 0, got 1/,
    ],
    [
      'sends the gradient of another cut',
      atKind('cut-gradient', ({ epoch, step, tensors: [cut] }, sequence) => {
        const wider = zeros('float32', [cut!.dims[0]!, cut!.dims[1]! + 1]);
        return message('cut-gradient', {
          sequence,
          epoch,
          step,
          scalars: [0, 0],
          tensors: [{ name: 'cut', tensor: wider }],
        });
      }),
      'bad-shape',
      /cut-gradient: tensor cut: expected float32\[\d+, 50\], got float32\[\d+, 51\]/,
    ],
    [
      'sends a gradient that is not finite',
      atKind('cut-gradient', ({ epoch, step, tensors: [cut] }, sequence) => {
        const bad = zeros('float32', cut!.dims);
        (bad.data as Float32Array).fill(Number.NaN);
        return message('cut-gradient', {
          sequence,
          epoch,
          step,
          scalars: [0, 0],
          tensors: [{ name: 'cut', tensor: bad }],
        });
      }),
      'not-finite',
      /cut-gradient: tensor cut has a value that is not finite/,
    ],
    [
      'asks for half a commit',
      atKind('cut-gradient', ({ epoch, step, tensors: [cut] }, sequence) =>
        message('cut-gradient', {
          sequence,
          epoch,
          step,
          scalars: [0, 0.5],
          tensors: [{ name: 'cut', tensor: zeros('float32', cut!.dims) }],
        }),
      ),
      'bad-field',
      /cut-gradient: whether to commit is neither 0 nor 1/,
    ],
    [
      'goes on from a commit that the site does not have',
      pooledWith([1, planned.plan.training.epochs, 0, 0, 0]),
      'bad-field',
      /pooled: this site has no commit after step 1/,
    ],
    [
      'says that the study is over when it has not begun',
      pooledWith([0, planned.plan.training.epochs, 0, 0, 1]),
      'bad-field',
      /pooled: the study cannot be over at step 0/,
    ],
  ])('%s is refused each time it comes back to it, and gets nothing', async (_, greed, code, text) => {
    const server = new GreedyServer(planned, greed);
    const { error, refused, sent } = await against(server);
    expect(error).toMatchObject({ name: 'ProtocolError', code, message: expect.stringMatching(text) });
    // The session ends when the server has come back to it twenty times.
    expect(refused).toHaveLength(21);
    for (const entry of refused) expect(entry).toMatchObject({ code, text: expect.stringMatching(text) });
    expect(sent).not.toContain('weights');
    const words = server.heard.filter(({ kind }) => kind === 'refuse');
    expect(words.map(({ text: said }) => said.split(':')[0])).toEqual(new Array<string>(21).fill(code));
    // It was told of no step that the site has not made: every other message is a line of the script, once.
    const lines = server.heard.filter(({ kind }) => kind !== 'refuse').map(({ sequence }) => sequence);
    expect(new Set(lines).size).toBe(lines.length);
  });

  test('goes on after the end gets no answer', async () => {
    const after: Greed = (line, sequence) => (line ? undefined : message('turn', { sequence }));
    const server = new GreedyServer(planned, after);
    const { error, refused, sent } = await against(server);
    expect(error).not.toBeInstanceOf(Error);
    expect(refused).toEqual([
      expect.objectContaining({ code: 'out-of-order', text: 'turn came after the end of the study' }),
    ]);
    expect(sent.at(-1)).toBe('acknowledge');
    expect(server.heard.at(-1)?.kind).toBe('acknowledge');
  });
});

test('a message that is sent again after a broken connection is recorded again, as such', async () => {
  const root = await mkdtemp(join(tmpdir(), 'septum-greedy-'));
  const key = await openKeyFile(join(root, 'site.key'));
  const listener = createMemoryListener();
  const server = new GreedyServer(planned, () => undefined);
  const serving = server.serve(listener);
  let connections = 0;
  {
    await using ledger = await openFileLedger(join(root, 'ledger'), key);
    const connect = async (): Promise<Connection> => {
      connections += 1;
      const connection = await listener.connect();
      if (connections > 1) return connection;
      // The first connection takes the fifth frame and breaks before it has delivered it.
      let frames = 0;
      return new Proxy(connection, {
        get(target, property) {
          const value = Reflect.get(target, property, target) as unknown;
          if (property === 'trySend')
            return (frame: readonly Uint8Array[]): boolean => {
              frames += 1;
              if (frames < 5) return target.trySend(frame);
              void target.close();
              return true;
            };
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        },
      });
    };
    await takePart(planned, 0, connect, { clock: hastyClock, ledger });
  }
  await listener.close();
  await serving;
  const sent: RecordedEntry[] = [];
  for await (const entry of readLedger(join(root, 'ledger'))) if (entry.what === 'sent') sent.push(entry);
  expect(connections).toBe(2);
  const [again, ...more] = sent.filter((entry) => entry['again'] === true);
  expect(more).toEqual([]);
  const first = sent.find((entry) => entry['sequence'] === again!['sequence'] && entry['kind'] === again!['kind']);
  expect(first).toMatchObject({ kind: again!['kind'], bytes: again!['bytes'], sha256: again!['sha256'] });
  expect(first).not.toBe(again);
  await rm(root, { recursive: true });
});

test('where the ledger cannot be written nothing leaves', async () => {
  const root = await mkdtemp(join(tmpdir(), 'septum-greedy-'));
  const key = await openKeyFile(join(root, 'site.key'));
  const folder = join(root, 'ledger');
  const listener = createMemoryListener();
  const server = new GreedyServer(planned, () => undefined);
  const serving = server.serve(listener);
  // Full after each entry, and no other file can be made.
  const ledger = await openFileLedger(folder, key, { volumeBytes: 1 });
  await rm(folder, { recursive: true });
  const settings = { clock: hastyClock, ledger };
  const taking = takePart(planned, 0, () => listener.connect(), settings);
  await expect(taking).rejects.toMatchObject({ name: 'DataError', code: 'bad-file' });
  await expect(ledger.close()).rejects.toThrow(/cannot write the ledger/);
  await listener.close();
  await serving;
  expect(server.met).toBe(1);
  expect(server.greeted).toBe(0);
  await rm(root, { recursive: true });
});
