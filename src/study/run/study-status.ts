// How the studies of a server's folder go, for its operator.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { StudyStatus } from '../../store/index.ts';
import { lockOwner } from '../../store/node/index.ts';
import { withRegistry } from '../enrolment/index.ts';

/** All studies of a server's folder by name, and whether a server runs there. Throws ConfigError when none has ever. */
export function studyStatuses(
  stateDir: string,
): Promise<{ readonly studies: readonly StudyStatus[]; readonly served: boolean }> {
  return withRegistry(stateDir, async (registry) => ({
    studies: registry.book.statuses(),
    served: await isServed(stateDir),
  }));
}

/** Whether a server has the folder open. */
export async function isServed(stateDir: string): Promise<boolean> {
  const lock = join(stateDir, 'lock');
  return existsSync(lock) && (await lockOwner(lock)) !== undefined;
}
