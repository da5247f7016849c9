// A site's half of a study's commits: its segment (and head) with the optimizer's state, and the one that is selected so far. A commit's index
// is the number of server steps before it, as at the server.

import { z } from 'zod';
import { DataError, messageOf, sha256Hex } from '../base/index.ts';
import { changeOfEngine, type EngineInfo } from '../engine/index.ts';
import { COMMITS_HELD, type Plan, planHash } from '../protocol/index.ts';
import { asJson, type Commit, type CommitStore } from '../store/index.ts';
import { bytesOf, type Tensor } from '../tensor/index.ts';

type Tensors = Readonly<Record<string, Tensor>>;

const metaSchema = z.strictObject({
  format: z.literal(1),
  plan: z.string(),
  engine: z.record(z.string(), z.json()),
  /** SHA-256 of the census: of what the site's records add up to. */
  census: z.string(),
  /** Updates of the segment so far: Adam's t. */
  updates: z.int().min(0),
  /** With the labels at the site: the epoch's loss so far, summed over its records. */
  loss: z.strictObject({ sum: z.number(), records: z.int().min(0) }),
  /** Whether the segment as it stands is the one that is selected; else that one is kept besides, under `best/`. */
  isBest: z.boolean(),
});

/** What a site goes on with. */
export interface SiteState extends Pick<z.infer<typeof metaSchema>, 'updates' | 'loss'> {
  /** Segment (and head): parameters, optimizer slots, statistics. */
  readonly state: Tensors;
  /** Parameters and statistics of the selected one. */
  readonly best: Tensors;
}

interface SiteCommitsOptions {
  readonly store: CommitStore;
  readonly site: string;
  readonly plan: Plan;
  readonly engine: EngineInfo;
  /** Told why a commit cannot be used, or what going on with it changes. */
  readonly onProblem: (text: string) => void;
}

export class SiteCommits {
  readonly #options: SiteCommitsOptions;

  constructor(options: SiteCommitsOptions) {
    this.#options = options;
  }

  /** The steps before each commit that is whole and of this plan, newest first; as many as are told to the server. */
  async held(): Promise<readonly number[]> {
    const { store, site, onProblem } = this.#options;
    const held: number[] = [];
    for (const index of (await store.list(site)).toReversed()) {
      try {
        if (await this.#read(index)) held.push(index);
      } catch (error) {
        if (!(error instanceof DataError)) throw error;
        onProblem(messageOf(error));
      }
    }
    return held.slice(0, COMMITS_HELD);
  }

  /** `census` as the site sent it. */
  async write(
    steps: number,
    { state, best, updates, loss }: SiteState,
    isBest: boolean,
    census: Tensors,
  ): Promise<void> {
    const { store, site, plan, engine } = this.#options;
    const meta = { format: 1, plan: planHash(plan), engine, census: digestOf(census), updates, loss, isBest };
    const kept = Object.entries(isBest ? {} : best).map(([name, value]) => [`best/${name}`, value] as const);
    await store.write(site, { index: steps, meta: asJson(meta), tensors: { ...state, ...Object.fromEntries(kept) } });
  }

  /** Throws DataError when the commit is not there, or the records are not those with which it was made. */
  async read(steps: number, census: Tensors): Promise<SiteState> {
    const { site, engine, onProblem } = this.#options;
    const found = await this.#read(steps);
    if (!found) throw new DataError('missing-data', `site ${site} has no commit after step ${steps}`);
    const { meta, tensors } = found;
    if (meta.census !== digestOf(census))
      throw new DataError(
        'bad-data',
        `site ${site}: the records are not those with which it began this study: a study goes on with the same records only`,
      );
    const change = changeOfEngine(meta.engine, engine);
    if (change !== undefined) onProblem(change);
    const under = (prefix: string): Tensors =>
      Object.fromEntries(
        Object.entries(tensors).flatMap(([name, value]) =>
          name.startsWith(prefix) && !name.includes('/', prefix.length) ? [[name.slice(prefix.length), value]] : [],
        ),
      );
    const state = under('');
    return { state, best: meta.isBest ? withoutSlots(state) : under('best/'), updates: meta.updates, loss: meta.loss };
  }

  async #read(
    index: number,
  ): Promise<(Omit<Commit, 'meta'> & { readonly meta: z.infer<typeof metaSchema> }) | undefined> {
    const { store, site, plan } = this.#options;
    const commit = await store.read(site, index);
    if (!commit) return undefined;
    const meta = metaSchema.safeParse(commit.meta);
    if (!meta.success)
      throw new DataError(
        'bad-file',
        `commit ${index} of site ${site} is not of this version: ${z.prettifyError(meta.error)}`,
      );
    return meta.data.plan === planHash(plan) ? { ...commit, meta: meta.data } : undefined;
  }
}

function withoutSlots(state: Tensors): Tensors {
  return Object.fromEntries(Object.entries(state).filter(([name]) => !/\.s\d+$/.test(name)));
}

function digestOf(tensors: Tensors): string {
  return sha256Hex(
    ...Object.keys(tensors)
      .toSorted()
      .map((name) => bytesOf(tensors[name] as Tensor)),
  );
}
