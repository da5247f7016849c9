// The tensors of the server's half of a commit, by name: the trunk's and, where the server knows it, the segment's (and head's) with the
// optimizer's state under their own names, what was pooled under `pooled/`, and under `best/` the selected model where it is not that of
// the last epoch as it ended.

import { partsAtSite, type Plan, stateTensors } from '../protocol/index.ts';
import type { Tensor } from '../tensor/index.ts';
import { pooledOf } from './census.ts';
import type { ServerCommit } from './commits.ts';
import { type Epochs, knownSegment, type Selected } from './epochs.ts';
import type { Pooled } from './study-sites.ts';
import type { Training } from './training.ts';

type Tensors = Readonly<Record<string, Tensor>>;

/** The tensors of a commit. `scope` is that of the trunk, or of one of replicas that are alike; `isEpochEnd` says that the trunk is that of the last epoch in the history. */
export async function commitTensors(
  training: Training,
  { selected, history }: Pick<Epochs, 'selected' | 'history'>,
  pooled: Pooled,
  { scope, isEpochEnd }: { readonly scope: string; readonly isEpochEnd: boolean },
): Promise<Tensors> {
  const { plan, trunk } = training.options;
  // An epoch that is selected has copies of its parameters already: large ones should not lie there twice.
  const isSelected = isEpochEnd && selected.epoch >= 0 && selected.epoch === history.length - 1;
  const current = isSelected
    ? { ...selected.trunk, ...(await trunk.slots('trunk', scope)) }
    : await trunk.state('trunk', scope, true);
  return {
    ...current,
    ...(await knownSegment(training, plan.choices.when !== 'detached')),
    ...under('pooled/', pooled.tensors),
    ...(isSelected ? {} : under('best/', { ...selected.trunk, ...selected.segment })),
  };
}

/** What was pooled. Throws ProtocolError when it cannot be. */
export function pooledIn({ tensors }: ServerCommit, plan: Plan): Pooled {
  const of = (name: string) => tensors[`pooled/${name}`];
  return pooledOf({ counts: of('counts'), classes: of('classes'), sums: of('sums') } as Pooled['tensors'], plan);
}

/** Trunk and segment with their slots, as they stood. */
export function stateIn({ tensors }: ServerCommit, plan: Plan): { readonly trunk: Tensors; readonly segment: Tensors } {
  return { trunk: pick(tensors, '', plan, ['trunk'], true), segment: pick(tensors, '', plan, partsAtSite(plan), true) };
}

/** The model that was selected. */
export function selectedIn({ bestEpoch, tensors }: ServerCommit, plan: Plan): Selected {
  if (bestEpoch < 0) return { epoch: bestEpoch, trunk: {}, segment: undefined };
  const prefix = Object.keys(tensors).some((name) => name.startsWith('best/')) ? 'best/' : '';
  const segment = pick(tensors, prefix, plan, partsAtSite(plan), false);
  return {
    epoch: bestEpoch,
    trunk: pick(tensors, prefix, plan, ['trunk'], false),
    segment: Object.keys(segment).length > 0 ? segment : undefined,
  };
}

function under(prefix: string, tensors: Tensors): Tensors {
  return Object.fromEntries(Object.entries(tensors).map(([name, value]) => [prefix + name, value]));
}

/** Parts' tensors that are there under a prefix, by their own names. */
function pick(
  tensors: Tensors,
  prefix: string,
  { layouts }: Plan,
  parts: readonly ('trunk' | 'segment' | 'head')[],
  withSlots: boolean,
): Tensors {
  const names = parts.flatMap((part) =>
    stateTensors(part, layouts[part] ?? { groups: [], statistics: [], slots: 0 }, withSlots).map(({ name }) => name),
  );
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = tensors[prefix + name];
      return value ? [[name, value]] : [];
    }),
  );
}
