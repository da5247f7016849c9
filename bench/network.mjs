// How a study uses a slow and distant network: real processes, each site behind a line of so many bits a second and so long a round trip
// (bench/parts/shaped-network.mjs). Prints a table in Markdown; `--write FOLDER` puts it into NETWORK.md there, between the comments
// `<!-- network -->` and `<!-- /network -->`.
//
//   npm run bench:network [-- --modes live,detached,buffered --window 8 --links shared,own --mbit 100 --rtt 50 --network ct-cnn --sites 3 --batch 32]
//
// Links: with `shared` the server has one line and all sites share it; with `own` each site has one. `live` is measured against
// bytes / bandwidth + round trips + compute, where compute is a step of the same processes without the network; `detached` and `buffered`
// against the bandwidth of the busier direction.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { benchStudy } from '../dist/study/run/bench-study.js';
import { Line, ShapedNetwork } from './parts/shaped-network.mjs';
import { writeBetween } from './parts/write-between.mjs';
import { startParty } from './parts/start-party.mjs';

const { values } = parseArgs({
  options: {
    modes: { type: 'string', default: 'live,detached,buffered' },
    links: { type: 'string', default: 'shared,own' },
    mbit: { type: 'string', default: '100' },
    rtt: { type: 'string', default: '50' },
    network: { type: 'string', default: 'ct-cnn' },
    sites: { type: 'string', default: '3' },
    batch: { type: 'string', default: '32' },
    steps: { type: 'string', default: '20' },
    'warm-up': { type: 'string', default: '3' },
    records: { type: 'string', default: '1200' },
    window: { type: 'string', default: '8' },
    write: { type: 'string' },
  },
});
const siteCount = Number(values.sites);
const batch = Number(values.batch);
const [steps, warmUp] = [Number(values.steps), Number(values['warm-up'])];
const bitsPerSecond = Number(values.mbit) * 1e6;
const bytesPerMs = bitsPerSecond / 8000;
const rttMs = Number(values.rtt);
/** What a study of each mode says otherwise than the bench's. */
const modes = {
  live: { choices: 'labels: server, when: live, order: union, trunk: shared, segments: private' },
  detached: { choices: 'labels: server, when: detached, order: none, trunk: shared, segments: private' },
  buffered: {
    choices: `labels: server, when: buffered, order: union, trunk: shared, segments: private`,
    training: `  windowSteps: ${values.window}\n`,
  },
};

const rows = [];
let computeMs;
for (const mode of values.modes.split(',')) {
  if (mode === 'live') {
    const { stepMs } = stepsOf(await run(mode, undefined));
    computeMs = stepMs;
    process.stderr.write(`live without the network: ${stepMs.toFixed(1)} ms a step\n`);
  }
  for (const links of values.links.split(',')) {
    const measured = await run(mode, links);
    rows.push(mode === 'live' ? liveRow(measured, links) : bandwidthRow(measured, mode, links));
    process.stderr.write(`${rows.at(-1).join(' | ')}\n`);
  }
}
const heads = [
  'mode',
  'links',
  'measured',
  'bytes a link, up and down',
  'share of the busier direction',
  'against the bound',
];
const row = (cells) => `| ${cells.join(' | ')} |`;
const text = `\`${values.network}\`, ${siteCount} sites of ${batch} records a step, ${values.mbit} Mbit/s each way and ${values.rtt} ms round trip:
\`npm run bench:network -- --write docs\`. A bound is met at 1.00 or less for a time, at 0.90 or more for a share.

${[row(heads), row(heads.map(() => '---')), ...rows.map(row)].join('\n')}
`;
process.stdout.write(text);
if (values.write !== undefined) writeBetween(join(values.write, 'NETWORK.md'), 'network', text);

/** A step's time beside 1.1 x (bytes / bandwidth + round trips + compute). */
function liveRow(measured, links) {
  const { stepMs, bytes } = stepsOf(measured);
  const [up, down] = busiest(bytes);
  const boundMs = 1.1 * ((up + down) / bytesPerMs + rttMs + computeMs);
  const share = Math.max(up, down) / bytesPerMs / stepMs;
  return ['`live`', links, `${stepMs.toFixed(0)} ms a step`, `${megabytes(up)}, ${megabytes(down)} a step`, percent(share), `${(stepMs / boundMs).toFixed(2)} of ${boundMs.toFixed(0)} ms`]; // prettier-ignore
}

/** The share of the busier direction's bandwidth that was used while there was something to send. */
function bandwidthRow(measured, mode, links) {
  const { events, lines } = measured;
  const shares = lines.map(({ up, down }, link) => {
    const busier = up.bytes >= down.bytes ? up : down;
    const names = links === 'own' ? [siteName(link)] : undefined;
    const ends = events.filter(
      ({ event, site }) =>
        event === (mode === 'detached' ? 'uploaded' : 'step') && (!names || !site || names.includes(site)),
    );
    const endMs = mode === 'detached' ? Math.max(...ends.map(({ atMs }) => atMs)) : ends.at(-1).atMs;
    return busier.bytes / bytesPerMs / (endMs - measured.offsetMs - busier.firstMs);
  });
  const worst = Math.min(...shares);
  const [up, down] = busiest(lines.map((line) => [line.up.bytes, line.down.bytes]));
  return [`\`${mode}\``, links, '', `${megabytes(up)}, ${megabytes(down)}`, percent(worst), percent(worst)];
}

/** Time and bytes of a timed step; the bytes of each link. */
function stepsOf({ events, lines }) {
  const all = events.filter(({ event }) => event === 'step');
  const timed = all.slice(warmUp);
  const stepMs = (timed.at(-1).atMs - timed[0].atMs) / (timed.length - 1);
  const [first, last] = [timed[0].bytes, timed.at(-1).bytes];
  const bytes = lines.map((_, link) => [0, 1].map((way) => (last[link][way] - first[link][way]) / (timed.length - 1)));
  return { stepMs, bytes };
}

function busiest(bytes) {
  return bytes.toSorted((a, b) => b[0] + b[1] - a[0] - a[1])[0] ?? [0, 0];
}

/** One study to its end. Lines count from the moment when all sites know the pool. */
async function run(mode, links) {
  const records = mode === 'detached' ? Number(values.records) : (steps + warmUp) * batch;
  const study = studyOf(mode);
  const state = mkdtempSync(join(tmpdir(), 'septum-network-'));
  const offsetMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();
  const lines = [];
  const events = [];
  let network;
  const children = [];
  try {
    const address = await new Promise((resolve, reject) => {
      children.push(
        startParty({ role: 'server', study, state }, (event) => {
          if (event.event === 'listening') resolve(event.url);
          if (event.event === 'failed') reject(new Error(`the server: ${event.message}`));
          if (event.event === 'counts') for (const { up, down } of lines) [up, down].forEach((line) => line.reset());
          events.push({ ...event, bytes: lines.map(({ up, down }) => [up.bytes, down.bytes]) });
        }),
      );
    });
    if (links !== undefined) {
      const pair = () => ({
        up: new Line({ bitsPerSecond, delayMs: rttMs / 2 }),
        down: new Line({ bitsPerSecond, delayMs: rttMs / 2 }),
      });
      if (links === 'shared') lines.push(pair());
      network = await ShapedNetwork.open(Number(new URL(address).port), (connection) => {
        if (links === 'shared') return lines[0];
        return (lines[connection] ??= pair());
      });
    }
    const url = network?.url ?? address;
    for (let site = 0; site < siteCount; site++) {
      // One after another, so that the connection tells the site.
      children.push(
        startParty({ role: 'site', study, site: siteName(site), url, records }, (event) => events.push(event)),
      );
      while (network && network.connections <= site) await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const codes = await Promise.all(children.map((child) => child.ended));
    if (codes.some((code) => code !== 0))
      throw new Error(events.filter(({ event }) => event === 'failed').map(({ message }) => message).join('; ')); // prettier-ignore
    return { events: events.filter(({ event }) => event === 'step' || event === 'uploaded'), lines, offsetMs };
  } finally {
    for (const child of children) child.kill();
    await network?.close();
    for (const { up, down } of lines) [up, down].forEach((line) => line.close());
    rmSync(state, { recursive: true, force: true });
  }
}

function studyOf(mode) {
  const text = benchStudy({ network: values.network, sites: siteCount, batch, segments: 'private', optimizer: 'sgd' });
  const { choices, training = '' } = modes[mode] ?? {};
  if (choices === undefined) throw new Error(`--modes ${mode}: expected ${Object.keys(modes).join(', ')}`);
  return text.replace(/choices: \{.*\}/, `choices: { ${choices} }`).replace('training:\n', `training:\n${training}`);
}

function siteName(site) {
  return `site-${site + 1}`;
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 2 : 0)} MB`;
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}
