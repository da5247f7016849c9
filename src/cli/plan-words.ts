// A plan in plain words, for whoever decides whether a site takes part.

import { type Outbound, outboundOf, type Plan, planHash } from '../protocol/index.ts';
import { bytesText } from './amounts.ts';

const choiceWords = {
  when: {
    live: 'at every step activations go up, and a gradient comes back',
    buffered: 'the site works ahead of the server; activations go up, and gradients come back later',
    detached: 'activations go up once; the server then trains alone, and nothing comes back before the end',
  },
  labels: {
    server: 'the labels (diagnoses or target values) leave this site',
    site: 'the labels stay at this site',
  },
  order: {
    union: 'each step is on batches of all sites together',
    turns: 'the sites take turns',
    arrival: 'the server takes batches as they come',
    none: 'the sites need no order',
  },
  trunk: {
    shared: 'the server has one trunk',
    averaged: 'the server has a trunk for each site, and averages them',
  },
  segments: {
    private: 'this site’s segment is its own',
    mirrored: 'all sites and the server have the same segment',
    average: 'the sites’ segments are averaged by the server',
    relay: 'the segment passes from site to site through the server',
  },
  segmentSeed: {
    study: 'everybody in the study knows the segment’s start',
    site: 'the segment starts from a secret of this site',
  },
} as const satisfies { readonly [Name in keyof Plan['choices']]: Readonly<Record<Plan['choices'][Name], string>> };

/** What the plan means for a site, line by line; the last is its hash. */
export function planInWords(plan: Plan): readonly string[] {
  const { network, training, task, choices, minCount } = plan;
  const { inputDims, cut, cutDims, outputDims, loss } = network;
  const names = Object.keys(choiceWords) as (keyof typeof choiceWords)[];
  return [
    `study ${plan.study}: ${task.kind === 'classification' ? `tells ${task.classes.join(', ')} apart` : `predicts ${task.target} (${task.unit})`}`,
    `sites: ${plan.sites.join(', ')}; each with at least ${minCount} training records`,
    ...quorumInWords(plan),
    `network ${network.name}: ${inputDims.join(' x ')} numbers of a record in, cut at "${cut}" (${cutDims.join(' x ')}), ${outputDims.join(' x ')} out, loss ${loss}`,
    `training: ${training.epochs} epochs, ${training.batch} records a step, ${training.optimizer.kind}, learning rate ${training.learningRate}`,
    ...names.map((name) => `${name} ${choices[name]}: ${(choiceWords[name] as Record<string, string>)[choices[name]]}`),
    'this site sends, beside greetings and acknowledgements:',
    ...outboundOf(plan).map((outbound) => `  ${outboundInWords(outbound)}`),
    `  in all ${bytesOfRecord(plan, 'train record')} for each training record, ${bytesOfRecord(plan, 'val record')} for each of validation, ${bytesOfRecord(plan, 'test record')} for each of test`,
    ...plan.statements,
    `graphs: ${Object.entries(plan.graphs)
      .map(([name, hash]) => `${name} ${hash.slice(0, 12)}`)
      .join(', ')}`,
    `plan ${planHash(plan)}`,
  ];
}

/** A line for a study that can do without some of its sites; else none. */
export function quorumInWords({ quorum, stragglerTimeoutMs = 0 }: Plan): readonly string[] {
  if (quorum === undefined) return [];
  return [
    `quorum: the study goes on with ${quorum} of them when the others are away or silent for ${stragglerTimeoutMs / 1000} s`,
  ];
}

function outboundInWords({ kind, bytes, per, times }: Outbound): string {
  if (times === undefined) return `${kind}: ${bytesText(bytes)} at each ${per} of this site`;
  const often = times === 1 ? 'once' : `${times} times`;
  return per === 'study' ? `${kind}: ${bytesText(bytes)}, ${often}` : `${kind}: ${bytesText(bytes)} a ${per}, ${often}`;
}

function bytesOfRecord(plan: Plan, per: Outbound['per']): string {
  return bytesText(
    outboundOf(plan).reduce((sum, { per: of, bytes, times = 0 }) => sum + (of === per ? bytes * times : 0), 0),
  );
}
