// What a reconnect costs a `live` study beyond the outage: real processes, the sites behind a TCP proxy that cuts all their connections now
// and then and lets new ones in at once. A cut falls at any moment of a step. Its cost is what the steps around it take longer than usual.
// Prints one object in JSON.
//
//   node bench/reconnect.mjs [--network ct-cnn] [--sites 3] [--batch 32] [--cuts 20]

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { benchStudy } from '../dist/study/run/bench-study.js';
import { Line, ShapedNetwork } from './parts/shaped-network.mjs';
import { median } from './parts/median.mjs';
import { startParty } from './parts/start-party.mjs';

const { values } = parseArgs({
  options: {
    network: { type: 'string', default: 'ct-cnn' },
    sites: { type: 'string', default: '3' },
    batch: { type: 'string', default: '32' },
    cuts: { type: 'string', default: '20' },
  },
});
const [siteCount, batch, cuts] = ['sites', 'batch', 'cuts'].map((name) => Number(values[name]));
/** Steps between two cuts, and those around one that are compared with the usual. */
const [apart, around] = [12, 4];
const warmUp = 10;
const steps = warmUp + cuts * apart + around;
const study = benchStudy({ network: values.network, sites: siteCount, batch, segments: 'private', optimizer: 'sgd' });
const state = mkdtempSync(join(tmpdir(), 'septum-reconnect-'));
const stepsAtMs = [];
/** How many steps were made before each cut. */
const cutAfter = [];
const children = [];
let network;
try {
  const address = await new Promise((resolve, reject) => {
    const onEvent = (event) => {
      if (event.event === 'listening') resolve(event.url);
      if (event.event === 'failed') reject(new Error(`the server: ${event.message}`));
      if (event.event === 'step') stepMade(event.atMs);
    };
    children.push(startParty({ role: 'server', study, state }, onEvent));
  });
  const fast = () => new Line({ bitsPerSecond: 1e11, delayMs: 0 });
  network = await ShapedNetwork.open(Number(new URL(address).port), () => ({ up: fast(), down: fast() }));
  for (let site = 1; site <= siteCount; site++) {
    const orders = { role: 'site', study, site: `site-${site}`, url: network.url, records: steps * batch };
    children.push(startParty(orders, () => undefined));
  }
  await Promise.all(children.map((child) => child.ended));
} finally {
  for (const child of children) child.kill();
  await network?.close();
  rmSync(state, { recursive: true, force: true });
}
const gaps = stepsAtMs.slice(1).map((atMs, index) => atMs - stepsAtMs[index]);
const isDisturbed = (gap) => cutAfter.some((made) => gap >= made - 1 && gap < made - 1 + around);
const usualMs = median(gaps.filter((_, gap) => gap >= warmUp && !isDisturbed(gap)));
const extrasMs = cutAfter.map((made) => gaps.slice(made - 1, made - 1 + around).reduce((sum, ms) => sum + ms - usualMs, 0)); // prettier-ignore
const rounded = (ms) => Math.round(10 * ms) / 10;
process.stdout.write(
  `${JSON.stringify({
    network: values.network,
    cuts: cutAfter.length,
    stepMs: rounded(usualMs),
    extraMsMedian: rounded(median(extrasMs)),
    extraMsMost: rounded(Math.max(...extrasMs)),
    extraStepsMedian: rounded(median(extrasMs) / usualMs),
  })}\n`,
);

function stepMade(atMs) {
  stepsAtMs.push(atMs);
  const made = stepsAtMs.length;
  if (made < warmUp || (made - warmUp) % apart !== 0 || cutAfter.length === cuts) return;
  cutAfter.push(made);
  const stepMs = (stepsAtMs.at(-1) - stepsAtMs[0]) / (made - 1);
  // Each cut a little later in its step than the one before.
  setTimeout(() => network.cut(), (stepMs * cutAfter.length) / cuts);
}
