// Starts party.mjs as a process of its own.

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const party = fileURLToPath(new URL('./party.mjs', import.meta.url));

/** The process; `ended` resolves with its exit code. `onEvent` is told what it tells. */
export function startParty(orders, onEvent) {
  const child = fork(party, [JSON.stringify(orders)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  child.on('message', onEvent);
  child.ended = new Promise((resolve) => child.once('exit', resolve));
  return child;
}
