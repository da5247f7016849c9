// Many sites at one server on this machine: what they cost it, how long a step takes them, and whether each gets its share. Prints a table
// in Markdown; `--write FOLDER` puts it into NETWORK.md there, between the comments `<!-- load -->` and `<!-- /load -->`.
//
//   npm run load [-- --training 200 --idle 800 --batches 40 --batch 16 --choices '…' --write docs]
//
// All sites are sites of one study in order of arrival, each with a WebSocket and a session of its own. Those that train are real agents;
// an idle one has a single batch in the epoch, and is then connected, heard and sent heartbeats until the epoch ends. A share is due by the
// records that a site has; it is taken over every 1000 server steps in a row while every site that trains has batches left.

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeBetween } from './parts/write-between.mjs';

const { values } = parseArgs({
  options: {
    training: { type: 'string', default: '200' },
    idle: { type: 'string', default: '800' },
    batches: { type: 'string', default: '40' },
    batch: { type: 'string', default: '16' },
    processes: { type: 'string', default: '4' },
    choices: {
      type: 'string',
      default: 'labels: server, when: live, order: arrival, trunk: shared, segments: private',
    },
    write: { type: 'string' },
  },
});
const [training, idle, batches, batch, processes] = ['training', 'idle', 'batches', 'batch', 'processes'].map((name) =>
  Number(values[name]),
);
const settings = { training, idle, batches, batch, choices: values.choices };
const windowSteps = 1000;

const children = [];
const failures = [];
let fullMs;
const startedMs = performance.now();
const server = start('load-server.mjs', settings, (message) => {
  if (message.event === 'connected' && message.connected === training + idle) fullMs ??= performance.now() - startedMs;
  if (message.event === 'refused' || message.event === 'lost') process.stderr.write(`${JSON.stringify(message)}\n`);
});
const { url } = await server.first('listening');
const sites = [];
// The idle ones first: they are there when the others begin to come.
if (idle > 0)
  sites.push(start('load-sites.mjs', { ...settings, url, role: 'idle', from: training, to: training + idle }));
for (let part = 0; part < processes; part++) {
  const [from, to] = [part, part + 1].map((at) => Math.floor((at * training) / processes));
  sites.push(start('load-sites.mjs', { ...settings, url, role: 'training', from, to }));
}
const [measured, ...ends] = await Promise.all([server, ...sites].map((child) => child.first('done')));
for (const child of children) if (child.connected) child.disconnect();
if (failures.length > 0) throw new Error(failures.join('\n'));

const { order, stepsAtMs, idleBytes, trainedBytes, peakBytes, cpuMs } = measured;
const fair = fairness(order);
const latencies = ends.flatMap(({ latenciesMs = [] }) => latenciesMs).toSorted((a, b) => a - b);
const stepTimes = stepsAtMs.slice(1).map((atMs, step) => atMs - stepsAtMs[step]).toSorted((a, b) => a - b); // prettier-ignore
const wallMs = stepsAtMs.at(-1) - stepsAtMs[0];
const quantile = (sorted, share) =>
  sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
const table = [
  [
    'sites connected',
    `${training + idle}, of which ${training} train; all there after ${(fullMs / 1000).toFixed(1)} s`,
  ],
  ['memory a connected site at the server', `${(idleBytes / (training + idle) / 1024).toFixed(0)} KiB`],
  [
    'the same after training',
    `${(trainedBytes / (training + idle) / 1024).toFixed(0)} KiB; peak ${(peakBytes / 1e6).toFixed(0)} MB in all`,
  ],
  ['server steps', `${order.length}, ${(order.length / (wallMs / 1000)).toFixed(0)} a second`],
  [
    'CPU of the server',
    `${(cpuMs / order.length).toFixed(2)} ms a step, ${((100 * cpuMs) / wallMs).toFixed(0)} % of a core`,
  ],
  ['server step, p50 and p99', `${quantile(stepTimes, 0.5).toFixed(2)} ms, ${quantile(stepTimes, 0.99).toFixed(2)} ms`],
  [
    'a site’s step from sent to answered, p50 and p99',
    `${quantile(latencies, 0.5).toFixed(0)} ms, ${quantile(latencies, 0.99).toFixed(0)} ms`,
  ],
  [
    `share over ${windowSteps} steps against what is due`,
    `${fair.windows} windows: ${(100 * fair.least).toFixed(0)} % to ${(100 * fair.most).toFixed(0)} %`,
  ],
  ['longest a site waited for its turn', `${fair.longest} server steps, with ${training} sites in turn`],
];
const text = `${['what', 'measured'].join(' | ').replace(/^(.*)$/, '| $1 |')}
| --- | --- |
${table.map((cells) => `| ${cells.join(' | ')} |`).join('\n')}
`;
process.stdout.write(text);
if (values.write !== undefined) writeBetween(join(values.write, 'NETWORK.md'), 'load', text);

/** How the sites that train were served while all of them had batches left. */
function fairness(all) {
  const own = all.filter((site) => site < training);
  const left = new Array(training).fill(batches);
  const firstDone = own.findIndex((site) => --left[site] === 0);
  const served = own.slice(0, firstDone);
  const due = windowSteps / training;
  let [windows, least, most] = [0, 1, 1];
  for (let from = 0; from + windowSteps <= served.length; from += windowSteps, windows++) {
    const counts = new Array(training).fill(0);
    for (const site of served.slice(from, from + windowSteps)) counts[site] += 1;
    least = Math.min(least, ...counts.map((count) => count / due));
    most = Math.max(most, ...counts.map((count) => count / due));
  }
  const last = new Map();
  let longest = 0;
  served.forEach((site, step) => {
    longest = Math.max(longest, step - (last.get(site) ?? step));
    last.set(site, step);
  });
  return { windows, least, most, longest };
}

function start(file, orders, onMessage = () => {}) {
  const path = fileURLToPath(new URL(`./parts/${file}`, import.meta.url));
  const child = fork(path, [JSON.stringify(orders)], {
    execArgv: [
      '--expose-gc',
      ...(process.env.SEPTUM_CPU_PROFILE ? ['--cpu-prof', `--cpu-prof-dir=${process.env.SEPTUM_CPU_PROFILE}`] : []),
    ],
    serialization: 'advanced',
  });
  children.push(child);
  child.on('message', (message) => {
    if (message.event === 'site lost') process.stderr.write(`${message.detail}\n`);
    onMessage(message);
  });
  child.first = (event) =>
    new Promise((resolve, reject) => {
      child.on('message', (message) => {
        if (message.event === event) resolve(message);
        if (message.event === 'failed') reject(new Error(`${file}: ${message.message}`));
      });
      child.on('exit', () => reject(new Error(`${file} ended`)));
    });
  return child;
}
