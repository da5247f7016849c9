import { describe, expect, it } from 'vitest';
import { elementCount } from '../tensor/index.ts';
import { planStudy, type TestStudy } from '../../test/harness/study.ts';
import { BYTES_UNACKNOWLEDGED, MESSAGES_UNACKNOWLEDGED } from './acknowledged.ts';
import { allowedChoices, type Choices, describeChoices } from './choices.ts';
import { type Exchange, inChunks, stateTensors } from './lines.ts';
import type { Plan } from './plan.ts';
import { evaluationRows, type ScriptFacts, type SiteCounts, siteScript, unknownFacts, uploadChunks } from './script.ts';

const counts: readonly SiteCounts[] = [
  { train: 5, val: 2, test: 1 },
  { train: 2, val: 1, test: 1 },
];

function planOf(choices: Partial<Choices>, training: TestStudy['training'] = {}): Plan {
  return planStudy({ choices, counts: [5, 2], training: { batch: 3, epochs: 1, ...training } }).plan;
}

function linesOf(plan: Plan, site: number, facts: Partial<ScriptFacts> = {}): Exchange[] {
  return [...siteScript(plan, site, { ...unknownFacts(plan), counts, ...facts })];
}

function bytesOf({ tensors }: Exchange): number {
  return tensors.reduce((sum, { dtype, dims }) => sum + elementCount(dims) * (dtype === 'float64' ? 8 : 4), 0);
}

function named(choices: Choices): { name: string; choices: Choices } {
  return { name: describeChoices(choices), choices };
}

describe.each(allowedChoices().map(named))('the script of $name', ({ choices }) => {
  const plan = planOf(choices, { epochs: 2 });

  it('is the same each time that it is asked for, and ends with the site’s word that it has everything', () => {
    const lines = linesOf(plan, 0);
    expect(linesOf(plan, 0)).toEqual(lines);
    expect(lines.slice(0, 2).map(({ kind }) => kind)).toEqual(['census', 'pooled']);
    expect(lines.slice(-2).map(({ direction, kind }) => `${direction} ${kind}`)).toEqual([
      'down finish',
      'up acknowledge',
    ]);
  });

  it('sends every training record once an epoch (or once in detached), and costs what the plan says', () => {
    for (const [site, own] of counts.entries()) {
      const lines = linesOf(plan, site);
      for (const { kind, direction, bytes, per } of plan.leaves) {
        const times = choices.when === 'detached' ? 1 : plan.training.epochs;
        const ofTraining = lines.filter(
          (line) => line.kind === kind && (line.batch || (line.digest && line.part === 0)),
        );
        const total = ofTraining.reduce((sum, line) => sum + bytesOf(line), 0);
        expect(new Set(ofTraining.map((line) => line.direction)), `direction of ${kind}`).toEqual(new Set([direction]));
        expect(total, `bytes of ${kind}`).toBe(bytes * (per === 'record' ? times * own.train : ofTraining.length));
      }
    }
  });

  it('lets labels leave only with the labels at the server, and gradients of parameters only with mirrored', () => {
    const lines = linesOf(plan, 0);
    const some = (found: (line: Exchange) => boolean) => lines.some(found);
    const live = choices.when !== 'detached';
    expect(some(({ tensors }) => tensors.some(({ name }) => name === 'labels'))).toBe(choices.labels === 'server');
    expect(some(({ kind }) => kind === 'parameter-gradient')).toBe(live && choices.segments === 'mirrored');
    expect(some(({ kind }) => kind === 'gradient-sum')).toBe(live && choices.segments === 'mirrored');
    expect(some(({ kind }) => kind === 'cut-gradient')).toBe(live);
    expect(some(({ kind }) => kind === 'output-gradient')).toBe(choices.labels === 'site');
  });

  it('sends nothing of a private segment where the plan does not say so', () => {
    const secret = { ...plan, segmentsToServer: false, trunkToSites: false };
    const weights = linesOf(secret, 0).filter((line) => line.kind === 'weights');
    if (choices.segments === 'private') expect(weights).toEqual([]);
    else expect(weights.every((line) => line.epoch < plan.training.epochs)).toBe(true);
  });
});

it('goes on an upload after the chunks that the server holds', () => {
  const plan = planOf({ when: 'detached', order: 'none', segments: 'private' }, { augmentPasses: 6 });
  const isChunk = (line: Exchange) => line.kind === 'activations';
  const whole = linesOf(plan, 0).filter(isChunk);
  expect(whole.length).toBe(uploadChunks(plan, counts[0]!));
  expect(whole.map(({ epoch, part, chunk }) => [epoch, part, chunk])).toEqual([
    ...[0, 1, 2, 3, 4, 5, 6].map((pass) => [pass, 0, pass]),
    [0, 1, 7],
    [0, 2, 8],
  ]);
  for (let held = 0; held <= whole.length; held++) {
    const rest = linesOf(plan, 0, { chunksHeld: held });
    expect(rest.filter(isChunk)).toEqual(whole.slice(held));
    expect(rest.at(-3 - inChunks(stateTensors('segment', plan.layouts.segment, false)).length)?.kind).toBe('weights');
  }
});

it('never lets more than eight messages of rows go unanswered', () => {
  const many = { train: 3, val: 45 * 4096, test: 1 };
  const plan = planOf({ segments: 'private' });
  expect(evaluationRows(plan)).toBe(4096);
  for (const script of [
    linesOf(plan, 0, { counts: [many, many] }),
    linesOf(planOf({ when: 'detached', order: 'none' }, { augmentPasses: 20 }), 0),
  ]) {
    let unanswered = 0;
    for (const line of script) {
      unanswered = line.direction === 'up' ? unanswered + 1 : 0;
      expect(unanswered).toBeLessThanOrEqual(8);
    }
  }
});

describe('a site that has nothing to say for long', () => {
  /** Lines down between two lines up, where there are any. */
  function runsDown(plan: Plan, site: number, facts: Partial<ScriptFacts>): Exchange[][] {
    const runs: Exchange[][] = [[]];
    for (const line of linesOf(plan, site, facts)) {
      if (line.direction === 'down') runs.at(-1)!.push(line);
      else runs.push([]);
    }
    return runs.filter((run) => run.length > 0);
  }

  it('acknowledges every 64th sum of the steps that it sits out, and says so of which', () => {
    const facts = {
      counts: [
        { train: 5999, val: 0, test: 0 },
        { train: 1, val: 0, test: 0 },
      ],
    };
    const plan = planOf({});
    const script = linesOf(plan, 1, facts);
    const sums = script.filter(({ kind }) => kind === 'gradient-sum');
    expect(sums.length).toBe(2000);
    const said = script.filter(({ kind, direction }) => kind === 'acknowledge' && direction === 'up').slice(0, -2);
    expect(said.map(({ step }) => step)).toEqual(Array.from({ length: 31 }, (_, index) => 64 * (index + 1) - 2));
    expect(Math.max(...runsDown(plan, 1, facts).map((run) => run.length))).toBe(MESSAGES_UNACKNOWLEDGED);
    // The other speaks at every step.
    expect(linesOf(plan, 0, facts).filter(({ kind }) => kind === 'acknowledge').length).toBe(2);
  });

  it('acknowledges weights of more than 16 MiB in between, but each message that is as large alone', () => {
    const group = (elements: number) => ({ name: 'g', dims: [elements], members: [] });
    const groups = [5 << 20, ...Array.from({ length: 30 }, () => 500_000)].map(group);
    const plan = planOf({});
    const large = { ...plan, layouts: { ...plan.layouts, trunk: { groups, statistics: [], slots: 0 } } };
    const sizes = runsDown(large, 0, {}).map((run) => run.reduce((sum, line) => sum + bytesOf(line), 0));
    expect(sizes.filter((bytes) => bytes > BYTES_UNACKNOWLEDGED)).toEqual([4 * groups[0]!.dims[0]!]);
    expect(sizes.slice(-6)).toEqual([20 << 20, 16e6, 16e6, 16e6, 12e6, 0]);
  });
});

describe('tensors of a state', () => {
  const group = (elements: number) => ({ name: 'g', dims: [elements], members: [] });

  it('travel as parameters, each with its slots, then statistics', () => {
    const layout = { groups: [group(2), group(3)], statistics: [group(4)], slots: 2 };
    const names = (slots: boolean) => stateTensors('trunk', layout, slots).map(({ name }) => name.slice(6));
    expect(names(true)).toEqual(['w0', 'w0.s0', 'w0.s1', 'w1', 'w1.s0', 'w1.s1', 'r0']);
    expect(names(false)).toEqual(['w0', 'w1', 'r0']);
  });

  it('go in messages of at most 4 MiB, unless one alone is larger', () => {
    const layout = { groups: [400_000, 400_000, 400_000, 3_000_000, 1].map(group), statistics: [], slots: 0 };
    const sizes = inChunks(stateTensors('trunk', layout, false)).map((chunk) => chunk.map(({ dims }) => dims[0]));
    expect(sizes).toEqual([[400_000, 400_000], [400_000], [3_000_000], [1]]);
  });
});

it('is what docs/PROTOCOL.md shows, mode by mode', async () => {
  const shown = allowedChoices().filter(({ segmentSeed }) => segmentSeed === 'study');
  const text = shown.map(
    (choices) => `# ${describeChoices(choices)}\n${linesOf(planOf(choices), 0).map(transcript).join('\n')}\n`,
  );
  await expect(text.join('\n')).toMatchFileSnapshot('../../test/golden/wire/scripts.txt');
});

function transcript({ direction, kind, epoch, step, part, chunk, scalars, digest, tensors }: Exchange): string {
  const place = `epoch ${epoch} step ${step} part ${part} chunk ${chunk}`;
  const specs = tensors.map(({ name, dtype, dims }) => `${name} ${dtype}[${dims.join(',')}]`);
  if (scalars > 0) specs.push(`${scalars} scalars`);
  if (digest) specs.push('digest');
  return `${direction === 'up' ? '->' : '<-'} ${kind.padEnd(18)} ${place}${specs.length > 0 ? `  ${specs.join(', ')}` : ''}`;
}
