// What a study's operator wants of it, carried out: the commands write it into the registry, beside the server that runs, and the server
// looks there as it does for keys (gate.ts). The last wish counts, so that one that was taken back at once is none.

import { type Clock, ConfigError } from '../../base/index.ts';
import type { Plan } from '../../protocol/index.ts';
import { watchRegistry } from '../../server/index.ts';
import { isOver, type Registry, type StudyStatus, type StudyWish } from '../../store/index.ts';
import { withRegistry } from '../enrolment/index.ts';
import { isServed } from './study-status.ts';

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

/** Notes what a study's operator wants. Gives how the study stood, and whether a server runs that sees it. Throws ConfigError for a study that is not there or is over. */
export function orderStudy(
  stateDir: string,
  study: string,
  wish: StudyWish,
): Promise<{ readonly status: StudyStatus; readonly served: boolean }> {
  return withRegistry(stateDir, async ({ book }) => {
    const statuses = book.statuses();
    const status = statuses.find(({ name }) => name === study);
    if (!status) {
      const names = statuses.map(({ name }) => name).join(', ');
      throw new ConfigError(
        'bad-usage',
        `there is no study ${study}; ${names === '' ? 'there is none' : `there are ${names}`}`,
      );
    }
    if (isOver(status.state)) throw new ConfigError('bad-usage', `study ${study} is over: it is ${status.state}`);
    if (status.wish === 'stop' && wish !== 'stop')
      throw new ConfigError('bad-usage', `study ${study} is to stop: it does not pause or go on any more`);
    book.want(study, wish);
    return { status, served: await isServed(stateDir) };
  });
}
