// What a study's operator wants of it, carried out: the commands write it into the registry, beside the server that runs, and the server
// looks there as it does for keys (gate.ts). The last wish counts, so that one that was taken back at once is none.

import type { Clock } from '../../base/index.ts';
import type { Plan } from '../../protocol/index.ts';
import { watchRegistry } from '../../server/index.ts';
import type { Registry, StudyWish } from '../../store/index.ts';

/** What a study that runs can be told. Each may be told at any time, also before the study has begun, and more than once. */
export interface StudyOrders {
  pause(): void;
  resume(): void;
  /** Ends the study with what it has. */
  stopEarly(): void;
  /** A site takes no further part. */
  withdraw(site: number): void;
}

/** Tells a study at once who has withdrawn and what its operator wants, and from then on what changes of it, until the signal aborts. */
export async function followOrders(
  registry: Registry,
  { study, sites }: Pick<Plan, 'study' | 'sites'>,
  orders: StudyOrders,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const { book } = registry;
  const gone = new Set<string>();
  let followed: StudyWish = 'run';
  const look = (): void => {
    for (const site of book.withdrawn(study)) {
      const index = sites.indexOf(site);
      if (index >= 0 && !gone.has(site)) orders.withdraw(index);
      gone.add(site);
    }
    const wish = book.wish(study);
    if (wish === followed) return;
    followed = wish;
    if (wish === 'pause') orders.pause();
    else if (wish === 'run') orders.resume();
    else orders.stopEarly();
  };
  await watchRegistry(registry, look, clock, signal);
}
