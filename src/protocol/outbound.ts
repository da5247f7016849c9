// What a site sends in the course of a study, by kind: counted from the lines of its script, so it is what the script lets pass.

import { Lines, partsAtSite, stateTensors, tensorBytes } from './lines.ts';
import type { MessageKind } from './message.ts';
import type { Plan } from './plan.ts';
import { serverKnowsSegment } from './script.ts';

/** Messages of one kind that leave a site. */
export interface Outbound {
  readonly kind: MessageKind;
  /** Bytes of tensors each time. */
  readonly bytes: number;
  /** What each time is: once in the study, a record of a part, or a step, round or turn of the site. */
  readonly per: 'study' | 'train record' | 'val record' | 'test record' | 'step' | 'round' | 'turn';
  /** How often in the whole study; undefined where it depends on the record counts. */
  readonly times?: number;
}

/** All of them but hello, acknowledge and refuse, which carry no tensors. */
export function outboundOf(plan: Plan): readonly Outbound[] {
  const { choices, training } = plan;
  const lines = new Lines(plan);
  const live = choices.when !== 'detached';
  const atSite = choices.labels === 'site';
  const [trainTimes, valTimes] = live ? [training.epochs, training.epochs] : [training.augmentPasses + 1, 1];
  const record = (part: number): number => tensorBytes(lines.activations(part, 1, {}).tensors);
  const outbound: Outbound[] = [
    { kind: 'census', bytes: tensorBytes(lines.census().tensors), per: 'study', times: 1 },
    { kind: 'activations', bytes: record(0), per: 'train record', times: trainTimes },
    { kind: 'activations', bytes: record(1), per: 'val record', times: valTimes },
    { kind: 'activations', bytes: record(2), per: 'test record', times: 1 },
  ];
  if (atSite) {
    const gradient = tensorBytes(lines.trunkOutput(1));
    outbound.push({ kind: 'output-gradient', bytes: gradient, per: 'train record', times: trainTimes });
    const report = tensorBytes(lines.report(0, 1).tensors);
    outbound.push({ kind: 'report', bytes: report, per: 'study', times: training.epochs + 1 });
  }
  const parts = partsAtSite(plan).map((part) => [part, plan.layouts[part]!] as const);
  const state = (withSlots: boolean): number =>
    tensorBytes(parts.flatMap(([part, layout]) => stateTensors(part, layout, withSlots)));
  if (live && choices.segments === 'mirrored') {
    const { tensors } = lines.gradients('up', 'parameter-gradient', 0, 0, parts, {});
    outbound.push({ kind: 'parameter-gradient', bytes: tensorBytes(tensors), per: 'step' });
  }
  if (live && choices.segments === 'average') outbound.push({ kind: 'weights', bytes: state(true), per: 'round' });
  if (live && choices.segments === 'relay') outbound.push({ kind: 'weights', bytes: state(true), per: 'turn' });
  if (plan.segmentsToServer && !serverKnowsSegment(choices))
    outbound.push({ kind: 'weights', bytes: state(false), per: 'study', times: 1 });
  return outbound;
}
