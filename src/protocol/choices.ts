// The six choices of a study, the presets that name them, and the table of combinations that are allowed (SEMANTICS.md, "The choices").
// `study check`, the server and the sites all ask this file.

import { ConfigError } from '../base/index.ts';

export const choiceValues = {
  when: ['live', 'buffered', 'detached'],
  labels: ['server', 'site'],
  order: ['union', 'turns', 'arrival', 'none'],
  trunk: ['shared', 'averaged'],
  segments: ['private', 'mirrored', 'average', 'relay'],
  segmentSeed: ['study', 'site'],
} as const;

type ChoiceName = keyof typeof choiceValues;

/** How a study is trained: one value of each choice. */
export type Choices = { readonly [Name in ChoiceName]: (typeof choiceValues)[Name][number] };

/** The named methods; `labels` is never part of one, since it says whether diagnoses leave. */
export const presets = {
  septum: { when: 'live', order: 'union', trunk: 'shared', segments: 'mirrored' },
  detached: { when: 'detached', order: 'none', trunk: 'shared', segments: 'mirrored' },
  queue: { when: 'buffered', order: 'arrival', trunk: 'shared', segments: 'private' },
  parallel: { when: 'live', order: 'union', trunk: 'shared', segments: 'private' },
  sequential: { when: 'live', order: 'turns', trunk: 'shared', segments: 'relay' },
  'splitfed-v1': { when: 'live', order: 'none', trunk: 'averaged', segments: 'average' },
  'splitfed-v2': { when: 'live', order: 'turns', trunk: 'shared', segments: 'average' },
  'splitfed-v3': { when: 'live', order: 'none', trunk: 'averaged', segments: 'private' },
} as const satisfies Record<string, Omit<Choices, 'labels' | 'segmentSeed'>>;

export type Method = keyof typeof presets;
export const methods = Object.keys(presets) as Method[];

interface Row {
  readonly when: Choices['when'];
  readonly order: Choices['order'];
  readonly trunk: Choices['trunk'];
  readonly segments: readonly Choices['segments'][];
  readonly labels: readonly Choices['labels'][];
}

const allowedRows: readonly Row[] = [
  {
    when: 'live',
    order: 'union',
    trunk: 'shared',
    segments: ['private', 'mirrored', 'average'],
    labels: ['server', 'site'],
  },
  {
    when: 'live',
    order: 'turns',
    trunk: 'shared',
    segments: ['private', 'average', 'relay'],
    labels: ['server', 'site'],
  },
  { when: 'live', order: 'arrival', trunk: 'shared', segments: ['private', 'average'], labels: ['server', 'site'] },
  { when: 'live', order: 'none', trunk: 'averaged', segments: ['private', 'average'], labels: ['server', 'site'] },
  {
    when: 'buffered',
    order: 'union',
    trunk: 'shared',
    segments: ['private', 'mirrored', 'average'],
    labels: ['server'],
  },
  { when: 'buffered', order: 'arrival', trunk: 'shared', segments: ['private', 'average'], labels: ['server'] },
  { when: 'detached', order: 'none', trunk: 'shared', segments: ['private', 'mirrored'], labels: ['server'] },
];

/** Every combination that SEMANTICS.md's table allows, `segmentSeed` included. */
export function allowedChoices(): readonly Choices[] {
  return allowedRows.flatMap((row) =>
    row.segments.flatMap((segments) =>
      row.labels.flatMap((labels) =>
        choiceValues.segmentSeed
          .filter((segmentSeed) => segmentSeed === 'study' || segments === 'private')
          .map((segmentSeed) => ({
            when: row.when,
            labels,
            order: row.order,
            trunk: row.trunk,
            segments,
            segmentSeed,
          })),
      ),
    ),
  );
}

/** Every combination of the choices' values, allowed or not. */
export function allChoices(): readonly Choices[] {
  let product: Partial<Choices>[] = [{}];
  for (const name of Object.keys(choiceValues) as ChoiceName[]) {
    product = product.flatMap((partial) => choiceValues[name].map((value) => ({ ...partial, [name]: value })));
  }
  return product as Choices[];
}

/** The choices as a study file would write them. */
export function describeChoices(choices: Choices): string {
  return (Object.keys(choiceValues) as ChoiceName[]).map((name) => `${name}: ${choices[name]}`).join(', ');
}

/** Why a combination is refused, with the nearest allowed one; undefined when it is allowed. */
export function refusalOf(choices: Choices): string | undefined {
  const allowed = allowedChoices();
  if (allowed.some((candidate) => distance(candidate, choices) === 0)) return undefined;
  const nearest = allowed.reduce((best, candidate) =>
    distance(candidate, choices) < distance(best, choices) ? candidate : best,
  );
  return `${describeChoices(choices)} is not allowed: ${reasonAgainst(choices)}. The nearest allowed is ${describeChoices(nearest)}`;
}

/** Throws ConfigError `combination-refused` unless the combination is allowed. */
export function checkChoices(choices: Choices): void {
  const refusal = refusalOf(choices);
  if (refusal !== undefined) throw new ConfigError('combination-refused', refusal);
}

// What a study lead would least like to have changed weighs most: where the labels are, then when, then the segments.
const weights: Record<ChoiceName, number> = { labels: 16, when: 8, segments: 4, order: 3, trunk: 2, segmentSeed: 1 };

function distance(a: Choices, b: Choices): number {
  let sum = 0;
  for (const name of Object.keys(weights) as ChoiceName[]) if (a[name] !== b[name]) sum += weights[name];
  return sum;
}

function reasonAgainst(choices: Choices): string {
  const { when, labels, order, trunk, segments, segmentSeed } = choices;
  if (segmentSeed === 'site' && segments !== 'private') {
    return `segmentSeed: site keeps each site's start secret, so the segments cannot be ${segments}; it goes with segments: private only`;
  }
  if (labels === 'site' && when !== 'live') {
    return `labels: site needs the sites at every step for head and loss, and with when: ${when} they are ahead of the server or gone`;
  }
  if (when === 'detached') {
    if (order !== 'none')
      return `when: detached trains the server alone on a pool, so there is no order of sites; use order: none`;
    if (trunk !== 'shared') return `when: detached trains one trunk on the pooled activations; use trunk: shared`;
    return `when: detached freezes the segments, so there is nothing to ${segments}; use private or mirrored`;
  }
  if (trunk === 'averaged' && order !== 'none')
    return `trunk: averaged gives each site its own replica, so there is no order between sites; use order: none`;
  if (trunk === 'averaged' && when === 'buffered') return `trunk: averaged has no queue to detach; use when: live`;
  if (order === 'none')
    return `order: none leaves a shared trunk without a rule which batch comes next; use union, turns or arrival`;
  if (when === 'buffered' && order === 'turns')
    return `order: turns lets one site work at a time, so there is no queue to buffer; use when: live`;
  if (segments === 'mirrored')
    return `segments: mirrored needs all sites' gradients at each step, which order: ${order} does not have; use order: union`;
  return `segments: relay passes the segment on at the end of a turn, and order: ${order} has no turns; use order: turns`;
}
