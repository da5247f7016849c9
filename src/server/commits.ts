// The server's half of a study's commits: everything that it needs to go on after a crash, and nothing that the sites keep. A commit's
// index is the number of server steps before it; 0 is the start, or in `detached` the end of the uploads.

import { z } from 'zod';
import { DataError, messageOf } from '../base/index.ts';
import type { EngineInfo } from '../engine/index.ts';
import type { Plan } from '../protocol/index.ts';
import { planHash } from '../protocol/index.ts';
import { asJson, type Commit, type CommitStore } from '../store/index.ts';
import type { Tensor } from '../tensor/index.ts';
import type { EpochRecord } from './epochs.ts';

type Tensors = Readonly<Record<string, Tensor>>;

/** What the server did so far, for its result. */
const figuresSchema = z.strictObject({
  trainMs: z.number(),
  trainRecords: z.number(),
  waitedMs: z.number(),
  bytesUp: z.number(),
  bytesDown: z.number(),
});
export type Figures = z.infer<typeof figuresSchema>;

const metaSchema = z.strictObject({
  format: z.literal(2),
  plan: z.string(),
  engine: z.record(z.string(), z.json()),
  /** Epochs that have ended. */
  history: z.array(z.custom<EpochRecord>((value) => typeof value === 'object' && value !== null)),
  /** The epoch whose model is selected so far; -1 before the first. */
  bestEpoch: z.int().min(-1),
  /** Updates by scope, of trunks and of the server's copy of the segment: Adam's t. */
  updates: z.record(z.string(), z.int().min(0)).readonly(),
  /** Updates of the segment that passes between the sites. */
  passedUpdates: z.int().min(0),
  /** The training loss of the epoch so far: a sum for each replica, and the records. */
  loss: z.strictObject({ sums: z.array(z.number()).readonly(), records: z.int().min(0) }),
  figures: figuresSchema,
  /** By site: whether it took part. */
  present: z.array(z.boolean()).readonly(),
  /** From here on the epochs have as many steps as the counts make. */
  base: z.strictObject({ epoch: z.int().min(0), steps: z.int().min(0) }),
});

/** The server's half. Its tensors are those of commit-tensors.ts. */
export interface ServerCommit extends Omit<z.infer<typeof metaSchema>, 'format' | 'plan' | 'engine'> {
  /** Server steps before it. */
  readonly steps: number;
  readonly engine: EngineInfo;
  readonly tensors: Tensors;
}

/** The name under which the server's commits are kept. */
const serverName = 'server';

export class ServerCommits {
  readonly #store: CommitStore;
  readonly #planHash: string;

  constructor(store: CommitStore, plan: Plan) {
    this.#store = store;
    this.#planHash = planHash(plan);
  }

  async write({ steps, tensors, engine, ...state }: ServerCommit): Promise<void> {
    const meta = { format: 2, plan: this.#planHash, engine: { ...engine }, ...state };
    await this.#store.write(serverName, { index: steps, meta: asJson(meta), tensors });
  }

  /** The steps before each commit that is kept; none is checked. */
  list(): Promise<readonly number[]> {
    return this.#store.list(serverName);
  }

  /**
   * The newest commit that is whole, of this plan, and suits; undefined where there is none. `onProblem` is told why a newer one cannot
   * be used. Throws DataError `bad-file` when the store cannot be read, or holds another plan's.
   */
  async newest(
    suits: (commit: ServerCommit) => boolean,
    onProblem: (text: string) => void,
  ): Promise<ServerCommit | undefined> {
    for (const index of (await this.#store.list(serverName)).toReversed()) {
      let found: Commit | undefined;
      try {
        found = await this.#store.read(serverName, index);
      } catch (error) {
        if (!(error instanceof DataError)) throw error;
        onProblem(messageOf(error));
      }
      const commit = found && this.#read(found);
      if (commit && suits(commit)) return commit;
    }
    return undefined;
  }

  #read({ index, meta, tensors }: Commit): ServerCommit {
    const parsed = metaSchema.safeParse(meta);
    if (!parsed.success)
      throw new DataError(
        'bad-file',
        `the server's commit ${index} is not of this version: ${z.prettifyError(parsed.error)}`,
      );
    const { format: _format, plan, engine, ...state } = parsed.data;
    if (plan !== this.#planHash) throw new DataError('bad-file', `the server's commit ${index} is of another plan`);
    return { ...state, steps: index, engine: engine as unknown as EngineInfo, tensors };
  }
}
