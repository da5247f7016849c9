// Loaded before `septum` in a process that is to die (node --import): it kills its own process with SIGKILL, as a power cut would, at the
// moment that SEPTUM_KILL_AT names, JSON { phase, nth, late }. Septum knows nothing of it.
//
//   compute      a little after the nth piece of data came from a peer, while it is being worked on
//   send         at the nth writing to a peer, before it or with `late` after it
//   write        in the nth writing of a commit, when half of it is there
//   rename       at the nth renaming of a written commit, before it or with `late` after it
//   results      at the nth renaming of a written result, before it or with `late` after it
//   end          at the first writing to a peer after the last result, before it or with `late` after it
//   acknowledge  at the first writing to a peer after the nth commit

import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { Socket } from 'node:net';

const { phase, nth, late } = JSON.parse(process.env.SEPTUM_KILL_AT);
/** Longest time into the work on a piece of data, milliseconds. */
const workMs = 4;
let seen = 0;
let commits = 0;
/** What a server and a site write last. */
const lastResult = process.argv.includes('site') ? /model.model\.json$/ : /report\.html$/;
let hasResults = false;

function die() {
  process.kill(process.pid, 'SIGKILL');
}

const { prototype } = Socket;
wrap(prototype, 'write', (socket, write, given) => {
  if (socket.remoteAddress === undefined) return write(...given);
  if (phase === 'acknowledge' && commits === nth) die();
  const isDue = (phase === 'send' && ++seen === nth) || (phase === 'end' && hasResults);
  if (isDue && !late) die();
  const result = write(...given);
  if (isDue) setImmediate(die);
  return result;
});
wrap(prototype, 'emit', (socket, emit, [event, ...given]) => {
  if (phase === 'compute' && event === 'data' && socket.remoteAddress !== undefined && ++seen === nth)
    setTimeout(die, Math.random() * workMs);
  return emit(event, ...given);
});

/** Replaces a method by one that gets the object, the method as it was, and what it is called with. */
function wrap(object, name, instead) {
  const method = object[name];
  object[name] = function (...given) {
    return instead(this, method.bind(this), given);
  };
}

const { open, rename } = fs;
fs.open = async (path, ...given) => {
  const file = await open(path, ...given);
  if (phase === 'write' && String(path).endsWith('.commit.tmp') && ++seen === nth) {
    wrap(file, 'write', async (_, write, [bytes]) => {
      await write(bytes, 0, bytes.byteLength >> 1);
      die();
    });
  }
  return file;
};
fs.rename = async (from, to) => {
  const isCommit = String(to).endsWith('.commit');
  const isResult = /model.[\w-]+\.(onnx|json)$|(metrics\.json|report\.html)$/.test(to);
  const isDue = ((phase === 'rename' && isCommit) || (phase === 'results' && isResult)) && ++seen === nth;
  if (isDue && !late) die();
  await rename(from, to);
  if (isDue) die();
  if (isCommit) commits += 1;
  if (lastResult.test(to)) hasResults = true;
};
syncBuiltinESMExports();
