// How long a study stands still when its server is killed: VGG-19's trunk of 20 million parameters, two sites of synthetic images on this
// machine. The server is killed with SIGKILL after its first commit and started again at once. Prints the seconds from its start to its
// listening, and from there to the first step that is made again; on Linux also the processor time that the server had taken by then, which
// says more on a machine that does other things.
//
//   node bench/recovery.mjs [--network vgg19-64]

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { planHash } from '../dist/protocol/index.js';
import { planOf, readStudy } from '../dist/study/index.js';

const { values } = parseArgs({ options: { network: { type: 'string', default: 'vgg19-64' } } });
const command = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const sites = ['site-1', 'site-2'];
const place = mkdtempSync(join(tmpdir(), 'septum-recovery-'));
const running = new Set();

try {
  const study = await writeStudy();
  const approve = planHash(planOf(await readStudy(study)).plan);
  const log = join(place, 'server', 'log.jsonl');
  const serve = (port) =>
    start('server', '--insecure', '--study', study, '--state', join(place, 'server'), '--listen', `127.0.0.1:${port}`);
  const first = serve(0);
  const [, url, port] = await first.says(/listens on (ws:\/\/127\.0\.0\.1:(\d+))/);
  for (const site of sites) {
    const own = ['--data', join(place, site), '--state', join(place, `${site}-state`), '--approve', approve];
    start('site', '--server', url, '--name', site, '--study', study, ...own);
  }
  await entry(log, ({ event }) => event === 'commit', 0);
  const seen = entries(log).length;
  first.child.kill('SIGKILL');
  await first.ended;
  const startMs = performance.now();
  const second = serve(port);
  await second.says(/listens on/);
  const listensMs = performance.now();
  const listened = processorSeconds(second.child.pid);
  const isResumed = ({ event }) => event === 'resumed';
  const resumed = await entry(log, isResumed, seen);
  const resumedMs = performance.now();
  const goneOn = processorSeconds(second.child.pid);
  await entry(log, ({ event }) => event === 'step', entries(log).findLastIndex(isResumed));
  const stepMs = performance.now();
  const stepped = processorSeconds(second.child.pid);
  const seconds = (fromMs, toMs) => Math.round((toMs - fromMs) / 10) / 100;
  process.stdout.write(
    `${JSON.stringify({
      network: values.network,
      startToListening: seconds(startMs, listensMs),
      listeningToGoingOn: seconds(listensMs, resumedMs),
      listeningToFirstStep: seconds(listensMs, stepMs),
      step: resumed.step,
      serverProcessorSeconds: { listening: listened, goingOn: goneOn, firstStep: stepped },
    })}\n`,
  );
} finally {
  for (const child of running) child.kill('SIGKILL');
  rmSync(place, { recursive: true, force: true });
}

async function writeStudy() {
  for (const [site, name] of sites.entries()) {
    mkdirSync(join(place, name));
    const lines = ['path,label,split'];
    for (let image = 0; image < 40; image++) {
      const value = 60 + 90 * (image % 2) + ((7 * image + site) % 40);
      const file = `image-${image}.png`;
      await sharp({ create: { width: 64, height: 64, channels: 3, background: { r: value, g: value, b: value } } })
        .png()
        .toFile(join(place, name, file));
      lines.push(`${file},${image % 2 ? 'light' : 'dark'},${['train', 'train', 'train', 'val', 'test'][image % 5]}`);
    }
    writeFileSync(join(place, name, 'labels.csv'), `${lines.join('\n')}\n`);
  }
  const study = join(place, 'study.yaml');
  writeFileSync(
    study,
    `study: recovery
choices: { labels: server, segments: private }
sites: { count: ${sites.length} }
network: { name: ${values.network} }
training: { batch: 16, epochs: 50, learningRate: 0.0001 }
data:
  kind: images
  labels: labels.csv
  columns: { path: path, label: label, split: split }
  classes: [dark, light]
  positive: light
  image: { width: 64, height: 64, channels: 3 }
`,
  );
  return study;
}

function start(...commandArguments) {
  const child = spawn(process.execPath, [command, ...commandArguments], { stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  let said = '';
  const listeners = new Set();
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => {
      said += text;
      for (const listener of listeners) listener();
    });
  const ended = new Promise((resolve) => child.once('close', resolve)).then(() => running.delete(child));
  const says = (pattern) =>
    new Promise((resolve, reject) => {
      const look = () => {
        const found = pattern.exec(said);
        if (found) resolve(found);
      };
      listeners.add(look);
      look();
      void ended.then(() => reject(new Error(`it ended and did not say ${pattern}:\n${said}`)));
    });
  return { child, ended, says };
}

/** Processor time of all threads of a process; undefined where the system does not say it as Linux does. */
function processorSeconds(pid) {
  try {
    // Fields 14 and 15 are clock ticks, of which Linux has 100 a second.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return undefined;
  }
}

/** The log's entries so far. */
function entries(log) {
  try {
    const lines = readFileSync(log, 'utf8').split('\n');
    return lines.slice(0, -1).map((line) => JSON.parse(line));
  } catch {
    return [];
  }
}

/** The first entry from place `from` on that is wanted. The log is looked at a hundred times a second. */
async function entry(log, wanted, from) {
  for (;;) {
    const found = entries(log).slice(from).find(wanted);
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
