// Every connection is an open file, and a process may have so many. A study with more sites than that would lose some of them again and
// again, for a reason that no message of theirs tells.

import { readFileSync } from 'node:fs';
import { ConfigError } from '../../base/index.ts';

/** Files that a server has open beside its connections: engine, stores, logs, libraries. */
const ownFiles = 128;

/** How many files this process may have open; undefined where the system does not say so in a file. */
export function openFilesMax(limitsFile = '/proc/self/limits'): number | undefined {
  let text: string;
  try {
    text = readFileSync(limitsFile, 'utf8');
  } catch {
    return undefined; // Not Linux.
  }
  const [, soft] = /^Max open files\s+(\S+)/m.exec(text) ?? [];
  return soft === undefined || soft === 'unlimited' ? undefined : Number(soft);
}

/** Throws ConfigError when a server with so many connections could not open them. */
export function requireOpenFiles(connections: number, most = openFilesMax()): void {
  if (most === undefined || connections + ownFiles <= most) return;
  throw new ConfigError(
    'bad-usage',
    `the study's ${connections} connections need ${connections + ownFiles} open files, but this process may have ${most}: raise the limit, for example with ulimit -n ${2 * (connections + ownFiles)}`,
  );
}
