// A study in one process, one simple loop for each order. It shares the compiled graphs, their engine and pure functions of counted
// random numbers with the real thing, and none of its sites, server and protocol.

import type { Engine } from '../../src/engine/index.ts';
import { Attendance, type MembersEntry } from './attendance.ts';
import { bufferedArrivalEpoch, bufferedUnionEpoch } from './buffered.ts';
import { detachedEpoch, poolsOf } from './detached.ts';
import type { Tensors } from './graphs.ts';
import { arrivalEpoch, averagedEpoch, type Course, turnsEpoch, unionEpoch } from './orders.ts';
import { validationFigure } from './selection.ts';
import { openStudy, type OpenStudy, startOfSites, startOfTrunk, type StepLoss } from './study.ts';

export type { StepLoss } from './study.ts';

/** All parties at one moment: parameters, statistics and optimizer slots by tensor name. */
export interface Snapshot {
  readonly epoch: number;
  readonly trunk: Tensors;
  readonly sites: readonly Tensors[];
}

export interface ReferenceResult {
  readonly losses: readonly StepLoss[];
  /** After the last epoch, and after the epoch that validation selects. */
  readonly last: Snapshot;
  readonly selected: Snapshot;
}

/**
 * Trains a study. `log` gives the site of each step where `order: arrival` leaves it open, `members` who takes part from which step on
 * where the study has a quorum.
 */
export async function trainReference(
  study: Pick<OpenStudy, 'plan' | 'study' | 'data'>,
  engine: Engine,
  settings: {
    readonly secretSeedOf: (site: number) => Uint8Array;
    readonly log?: readonly { readonly epoch: number; readonly site: number }[];
    readonly members?: readonly MembersEntry[];
  },
): Promise<ReferenceResult> {
  const attendance = new Attendance(
    study.plan,
    study.data.map(({ parts }) => parts.train.count),
    settings.members,
  );
  const open = await openStudy(study, engine, attendance.founders);
  const { plan } = open;
  const sites = startOfSites(open, settings.secretSeedOf);
  const replicas = plan.choices.trunk === 'averaged' ? sites.length : 1;
  const course: Course = {
    open,
    trunks: Array.from({ length: replicas }, () => startOfTrunk(open)),
    sites,
    attendance,
    losses: [],
  };
  const pools = plan.choices.when === 'detached' ? await poolsOf(course) : undefined;
  const train = async (epoch: number): Promise<void> => {
    if (pools) return detachedEpoch(course, pools, epoch);
    const buffered = plan.choices.when === 'buffered';
    if (plan.choices.order === 'union') return buffered ? bufferedUnionEpoch(course, epoch) : unionEpoch(course, epoch);
    if (plan.choices.order === 'turns') return turnsEpoch(course, epoch);
    if (plan.choices.order === 'none') return averagedEpoch(course, epoch);
    const log = (settings.log ?? []).filter((entry) => entry.epoch === epoch).map(({ site }) => site);
    return buffered ? bufferedArrivalEpoch(course, epoch, log) : arrivalEpoch(course, epoch, log);
  };
  let selected: Snapshot | undefined;
  let best: number | null = null;
  for (let epoch = 0; epoch < plan.training.epochs; epoch++) {
    await train(epoch);
    const figure = await validationFigure(course, epoch);
    if (!selected || (figure !== null && (best === null || figure > best))) {
      selected = snapshot(course, epoch);
      best = figure;
    }
  }
  const last = snapshot(course, plan.training.epochs - 1);
  return { losses: course.losses, last, selected: selected ?? last };
}

function snapshot({ trunks, sites }: Course, epoch: number): Snapshot {
  return { epoch, trunk: trunks[0]?.state ?? {}, sites: sites.map(({ state }) => state) };
}
