import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProtocolError, sha256Hex } from '../base/index.ts';
import { bytesOf, type Tensor, tensor, zeros } from '../tensor/index.ts';
import { planStudy } from '../../test/harness/study.ts';
import { MESSAGES_UNACKNOWLEDGED } from './acknowledged.ts';
import { allowedChoices, type Choices, describeChoices } from './choices.ts';
import { message, type Message, type TensorSpec } from './message.ts';
import type { Plan } from './plan.ts';
import type { Exchange } from './lines.ts';
import { type ScriptFacts, type SiteCounts, siteScript, unknownFacts } from './script.ts';
import { Session, type Values } from './session.ts';

const counts: readonly SiteCounts[] = [
  { train: 9, val: 2, test: 1 },
  { train: 4, val: 1, test: 1 },
];

function planOf(choices: Partial<Choices>, training: Partial<Plan['training']> = {}): Plan {
  return planStudy({ choices, counts: [9, 4], training: { batch: 4, epochs: 2, augmentPasses: 5, ...training } }).plan;
}

const ofStudySeed = allowedChoices().filter(({ segmentSeed }) => segmentSeed === 'study');
const windows = [2, 3].flatMap((windowSteps) =>
  ofStudySeed
    .filter(({ when }) => when === 'buffered')
    .map((choices) => ({
      name: `${describeChoices(choices)} and a window of ${windowSteps}`,
      plan: planOf(choices, { windowSteps, batch: 2, roundSteps: 3 }),
    })),
);
const plans = [
  ...ofStudySeed.map((choices) => ({ name: describeChoices(choices), plan: planOf(choices) })),
  ...windows,
];

/** One side with its own facts; the site learns them with `pooled`. */
class Side {
  readonly facts: ScriptFacts;
  readonly session: Session;
  readonly #counts: readonly SiteCounts[];
  readonly accepted: Exchange[] = [];
  readonly composed: Message[] = [];

  constructor(role: 'site' | 'server', plan: Plan, counted = counts, index = 0) {
    this.#counts = counted;
    this.facts = unknownFacts(plan);
    this.session = new Session(role, siteScript(plan, index, this.facts));
  }

  compose(): Message {
    const line = this.session.sendable!;
    if (line.kind === 'pooled') this.facts.counts = this.#counts;
    const made = this.session.compose(line.kind, valuesOf(line));
    this.composed.push(made);
    return made;
  }

  accept(received: Message): void {
    this.accepted.push(
      this.session.accept(received, ({ kind }) => {
        if (kind === 'pooled') this.facts.counts = this.#counts;
      }),
    );
  }
}

/** Some values for a line, not the same from line to line. */
function valuesOf({ tensors, scalars, digest, step }: Exchange): Values {
  const filled = tensors.map(({ name, dtype, dims }): [string, Tensor] => {
    const value = zeros(dtype, dims);
    if (dtype === 'float32') (value.data as Float32Array).fill(step + 0.5);
    return [name, value];
  });
  return {
    tensors: Object.fromEntries(filled),
    scalars: new Array<number>(scalars).fill(step),
    ...(digest ? { digest: sha256Hex(...filled.map(([, value]) => bytesOf(value))) } : {}),
  };
}

/** Brings both sides to the line at which `until` says so, or to the end. Returns that line. */
function advance(site: Side, server: Side, until: (line: Exchange) => boolean): Exchange | undefined {
  for (let line = site.session.expected; line; line = site.session.expected) {
    if (until(line)) return line;
    const [from, to] = line.direction === 'up' ? [site, server] : [server, site];
    to.accept(from.compose());
  }
  return undefined;
}

describe.each(plans)('two sides of $name', ({ plan }) => {
  it('come to the end together, line by line', () => {
    const [site, server] = [new Side('site', plan), new Side('server', plan)];
    advance(site, server, () => false);
    expect(site.session.expected).toBeUndefined();
    expect(server.session.expected).toBeUndefined();
    expect(site.session.position).toBe(server.session.position);
    expect(site.session.position).toBe([...siteScript(plan, 0, { ...unknownFacts(plan), counts })].length);
  });

  it('take every line once and with the same bytes, however often and wherever the connection breaks', () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.nat({ max: 9 })), (choices) => {
        const [site, server] = [new Side('site', plan), new Side('server', plan)];
        let [up, down]: [Message[], Message[]] = [[], []];
        const firstSent = new Map<string, Message>();
        const put = (queue: Message[], way: string, sent: Message) => {
          const key = `${way} ${sent.sequence}`;
          expect(firstSent.get(key) ?? sent).toBe(sent); // Sent again: the very same message, not one made anew.
          firstSent.set(key, sent);
          queue.push(sent);
        };
        const unfinished = () => site.session.expected !== undefined || server.session.expected !== undefined;
        for (let turns = 0; unfinished(); turns++) {
          expect(turns).toBeLessThan(20_000);
          const { value: choice } = choices.next() as { value: number };
          if (choice === 0) {
            // What is on its way is lost. The site says where it stands, the server answers, and both send again what may be missing.
            [up, down] = [[], []];
            const [siteAt, serverAt] = [site.session.position, server.session.position];
            for (const again of server.session.resendFrom(siteAt)) put(down, 'down', again);
            for (const again of site.session.resendFrom(serverAt)) put(up, 'up', again);
          } else if (choice <= 3 && site.session.mayCompose) put(up, 'up', site.compose());
          else if (choice <= 6 && server.session.mayCompose) put(down, 'down', server.compose());
          else if (choice <= 8 && up.length > 0) server.accept(up.shift()!);
          // The site takes the lines in the script's order; the server sends some earlier.
          else if (down.length > 0 && site.session.expected?.direction === 'down') site.accept(down.shift()!);
        }
        const script = [...siteScript(plan, 0, { ...unknownFacts(plan), counts })];
        expect(server.accepted).toEqual(script.filter((line) => line.direction === 'up'));
        expect(site.accepted).toEqual(script.filter((line) => line.direction === 'down'));
      }),
      { numRuns: 5 },
    );
  });

  it('refuse every message that is not exactly the next line, and stay where they were', () => {
    const [site, server] = [new Side('site', plan), new Side('server', plan)];
    for (let line = site.session.expected; line; line = site.session.expected) {
      const [from, to] = line.direction === 'up' ? [site, server] : [server, site];
      const good = from.compose();
      for (const [what, bad] of spoilt(good, line)) {
        const refuse = () => to.accept(bad);
        expect(refuse, `${line.kind} with ${what}`).toThrow(ProtocolError);
        expect(to.session.position).toBe(good.sequence);
      }
      to.accept(good);
    }
    expect(server.session.expected).toBeUndefined();
  });
});

/** The message with one thing wrong at a time. */
function spoilt(good: Message, line: Exchange): (readonly [string, Message])[] {
  const bad: (readonly [string, Message])[] = [
    ['another kind', { ...good, kind: good.kind === 'finish' ? 'verdict' : 'finish' }],
    ['the sequence before', { ...good, sequence: good.sequence - 1 }],
    ['the sequence after', { ...good, sequence: good.sequence + 1 }],
    ['another epoch', { ...good, epoch: good.epoch + 1 }],
    ['another step', { ...good, step: good.step + 1 }],
    ['another part', { ...good, part: good.part + 1 }],
    ['another chunk', { ...good, chunk: good.chunk + 1 }],
    ['a site', { ...good, site: 'A' }],
    ['a plan', { ...good, plan: '00' }],
    ['a text', { ...good, text: 'x' }],
    ['another digest', { ...good, digest: line.digest ? '00'.repeat(32) : '00' }],
    ['one scalar more', { ...good, scalars: [...good.scalars, 0] }],
    ['one tensor more', { ...good, tensors: [...good.tensors, { name: 'more', tensor: zeros('float32', [1]) }] }],
  ];
  if (line.digest) bad.push(['no digest', { ...good, digest: '' }]);
  if (line.scalars > 0) {
    bad.push(['one scalar less', { ...good, scalars: good.scalars.slice(1) }]);
    bad.push(['a scalar that is not finite', { ...good, scalars: good.scalars.map(() => Number.NaN) }]);
  }
  line.tensors.forEach((spec, index) => {
    const instead = (name: string, value: Tensor): Message => ({
      ...good,
      tensors: good.tensors.map((named, place) => (place === index ? { name, tensor: value } : named)),
    });
    const value = good.tensors[index]!.tensor;
    bad.push([`${spec.name} left out`, { ...good, tensors: good.tensors.filter((_, place) => place !== index) }]);
    bad.push([`${spec.name} by another name`, instead(`${spec.name}'`, value)]);
    bad.push([`${spec.name} of another type`, instead(spec.name, zeros('float16', spec.dims))]);
    bad.push([
      `${spec.name} a row longer`,
      instead(spec.name, zeros(spec.dtype, [(spec.dims[0] ?? 0) + 1, ...spec.dims.slice(1)])),
    ]);
    bad.push([`${spec.name} with a dimension more`, instead(spec.name, { ...value, dims: [...value.dims, 1] })]);
    bad.push(
      ...badValues(spec, value).map(([what, data]) => [`${spec.name} with ${what}`, instead(spec.name, data)] as const),
    );
  });
  return bad;
}

/** A value out of range in the last place, with nothing else changed. */
function badValues(spec: TensorSpec, { dtype, dims, data }: Tensor): (readonly [string, Tensor])[] {
  const last = (value: number): Tensor => {
    const copy = data.slice() as Float32Array<ArrayBuffer>;
    copy[copy.length - 1] = value;
    return { dtype, dims, data: copy };
  };
  if (dtype === 'float32' || dtype === 'float64')
    return [
      ['a NaN', last(Number.NaN)],
      ['an infinity', last(Number.NEGATIVE_INFINITY)],
    ];
  if (spec.below === undefined) return [];
  return [
    ['a value below zero', last(-1)],
    ['a value at the bound', last(spec.below)],
  ];
}

it('of a site that sits out 2000 steps never keeps more than 64 messages, and nothing that the site has acknowledged', () => {
  const idle = planStudy({ counts: [4001, 1], training: { batch: 2, epochs: 1 } }).plan;
  const counts = [
    { train: 4001, val: 0, test: 0 },
    { train: 1, val: 0, test: 0 },
  ];
  const [site, server] = [new Side('site', idle, counts, 1), new Side('server', idle, counts, 1)];
  server.accept(site.compose());
  for (let sums = -1; sums < 2000;) {
    // The server goes as far as it may, and nothing of it arrives: all of it must be there to be sent again.
    const at = site.session.position;
    while (server.session.mayCompose) server.compose();
    const kept = server.session.resendFrom(at);
    expect(kept.length).toBe(server.session.position - at);
    expect(kept.length).toBeLessThanOrEqual(MESSAGES_UNACKNOWLEDGED);
    for (const sent of kept) site.accept(sent);
    sums += kept.length;
    expect(site.session.expected?.kind).toBe(sums < 2000 ? 'acknowledge' : 'activations');
    server.accept(site.compose());
    expect(server.session.resendFrom(server.session.position)).toEqual([]);
  }
});

describe('a session', () => {
  const plan = planOf({});

  it('refuses what comes while it is its own turn, and after the end', () => {
    const [site, server] = [new Side('site', plan), new Side('server', plan)];
    expect(() => site.accept(message('pooled'))).toThrow(expect.objectContaining({ code: 'out-of-order' }));
    advance(site, server, () => false);
    expect(() => site.accept(message('finish'))).toThrow(expect.objectContaining({ code: 'out-of-order' }));
  });

  it('accepts floats however large as long as they are finite', () => {
    const [site, server] = [new Side('site', plan), new Side('server', plan)];
    const line = advance(site, server, ({ kind }) => kind === 'parameter-gradient')!;
    const huge = Object.fromEntries(
      line.tensors.map(({ name, dims }) => [name, tensor('float64', dims, zeros('float64', dims).data.fill(3e38))]),
    );
    server.accept(site.session.compose('parameter-gradient', { tensors: huge }));
    expect(server.session.position).toBe(site.session.position);
  });

  it('refuses a gradient that float32 cannot hold', () => {
    for (const value of [4e38, -4e38, Number.NaN]) {
      const [site, server] = [new Side('site', plan), new Side('server', plan)];
      const line = advance(site, server, ({ kind }) => kind === 'parameter-gradient')!;
      const tensors = Object.fromEntries(
        line.tensors.map(({ name, dims }) => [name, tensor('float64', dims, zeros('float64', dims).data.fill(value))]),
      );
      const sent = site.session.compose('parameter-gradient', { tensors });
      expect(() => server.accept(sent)).toThrow(expect.objectContaining({ code: 'not-finite' }));
    }
  });

  it('asks the inspector before it moves on', () => {
    const [site, server] = [new Side('site', plan), new Side('server', plan)];
    const census = site.compose();
    const inspect = () => {
      throw new ProtocolError('bad-field', 'no');
    };
    expect(() => server.session.accept(census, inspect)).toThrow('no');
    expect(server.session.position).toBe(0);
    expect(server.session.accept(census).kind).toBe('census');
  });

  it('cannot be brought together with a peer that forgot what it had confirmed, or knows what was never sent', () => {
    const [site, server] = [new Side('site', plan), new Side('server', plan)];
    advance(site, server, ({ kind, step }) => kind === 'activations' && step === 1);
    const at = site.session.position;
    expect(server.session.resendFrom(at).length).toBe(0);
    expect(() => server.session.resendFrom(1)).toThrow(expect.objectContaining({ code: 'out-of-order' }));
    expect(() => server.session.resendFrom(at + 2)).toThrow(ProtocolError);
    expect(() => site.session.resendFrom(at + 1)).toThrow(ProtocolError);
  });

  it('takes a composer’s mistake for a mistake of the program', () => {
    const site = new Side('site', plan);
    expect(() => site.session.compose('verdict')).toThrow('internal');
    expect(() => site.session.compose('census', { tensors: {} })).toThrow('internal');
    expect(site.session.position).toBe(0);
  });
});

describe('a server whose site has a window of three steps', () => {
  const plan = planOf({ when: 'buffered', segments: 'private' }, { windowSteps: 3, batch: 2 });

  /** Both at the start of training. */
  function start(): readonly [Side, Side] {
    const sides = [new Side('site', plan), new Side('server', plan)] as const;
    advance(...sides, ({ batch }) => batch !== undefined);
    return sides;
  }

  it('answers each step as it is made, though what comes between in the script is under way', () => {
    const [site, server] = start();
    for (let step = 0; step < 3; step++) server.accept(site.compose());
    const answers = [server.compose(), server.compose(), server.compose()];
    expect(answers.map(({ kind, step, sequence }) => [kind, step, sequence])).toEqual([
      ['cut-gradient', 0, 5],
      ['cut-gradient', 1, 7],
      ['cut-gradient', 2, 9],
    ]);
    expect(server.session.mayCompose).toBe(false);
    // The site takes them one by one, and sends a batch after each.
    for (const [index, answer] of answers.entries()) {
      site.accept(answer);
      const sent = site.compose();
      expect([sent.kind, sent.step]).toEqual(['activations', index + 3]);
      server.accept(sent);
    }
    expect(server.session.position).toBe(site.session.position);
  });

  it('does not answer a step whose batch is not there, and takes no batch beyond the window', () => {
    const [site, server] = start();
    const [first, second, third] = [site.compose(), site.compose(), site.compose()];
    expect(server.session.mayCompose).toBe(false);
    server.accept(first);
    const answer = server.compose();
    expect(server.session.mayCompose).toBe(false);
    server.accept(second);
    site.accept(answer);
    const fourth = site.compose();
    server.accept(third);
    server.accept(fourth);
    // The site may not send the fifth: it has not had the second answer. Nor would the server take it.
    expect(site.session.mayCompose).toBe(false);
    const fifth = { ...fourth, sequence: fourth.sequence + 2, step: fourth.step + 1 };
    expect(() => server.session.accept(fifth)).toThrow(expect.objectContaining({ code: 'out-of-order' }));
  });

  it('keeps an answer that it sent ahead until the site shows that it has it', () => {
    const [site, server] = start();
    for (let step = 0; step < 3; step++) server.accept(site.compose());
    const [first, second] = [server.compose(), server.compose()];
    site.accept(first);
    server.accept(site.compose());
    expect(server.session.resendFrom(site.session.position)).toEqual([second]);
    // The other way: the site knows that its first batch arrived, and of the others nothing.
    const third = site.session.resendFrom(4);
    expect(third.map(({ step }) => step)).toEqual([2, 3]);
    expect(() => site.session.resendFrom(2)).toThrow(expect.objectContaining({ code: 'out-of-order' }));
  });
});
