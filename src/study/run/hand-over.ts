// A child's tensors on their way to the parent, through a folder that only the two know. Numbers go through the channel, tensors not.

import { DataError } from '../../base/index.ts';
import { openFileCommitStore } from '../../store/node/index.ts';
import type { Tensor } from '../../tensor/index.ts';

type Tensors = Readonly<Record<string, Tensor>>;

/** What a process has at the end: the trunk, and segments (with heads) by site; '' is the one for all. */
export interface Weights {
  readonly trunk: Tensors | undefined;
  readonly segments: Readonly<Record<string, Tensors>>;
}

/** Writes them under a process's name. */
export async function handOver(folder: string, name: string, { trunk, segments }: Weights): Promise<void> {
  const tensors: Record<string, Tensor> = {};
  for (const [key, value] of Object.entries(trunk ?? {})) tensors[`trunk/${key}`] = value;
  for (const [site, segment] of Object.entries(segments))
    for (const [key, value] of Object.entries(segment)) tensors[`segment/${site}/${key}`] = value;
  const store = await openFileCommitStore(folder);
  await store.write(name, { index: 0, meta: { trunk: trunk !== undefined, segments: Object.keys(segments) }, tensors });
}

/** Reads what a process handed over; undefined when it handed over nothing. */
export async function takeOver(folder: string, name: string): Promise<Weights | undefined> {
  const { commit, problems } = await (await openFileCommitStore(folder)).latest(name);
  if (problems.length > 0) throw new DataError('bad-file', problems);
  if (!commit) return undefined;
  const under = (prefix: string): Tensors =>
    Object.fromEntries(
      Object.entries(commit.tensors)
        .filter(([key]) => key.startsWith(prefix))
        .map(([key, value]) => [key.slice(prefix.length), value]),
    );
  const meta = commit.meta as { readonly trunk: boolean; readonly segments: readonly string[] };
  return {
    trunk: meta.trunk ? under('trunk/') : undefined,
    segments: Object.fromEntries(meta.segments.map((site) => [site, under(`segment/${site}/`)])),
  };
}
