// Studies of real processes, `septum server` and two times `septum site`, one or all of which are killed with SIGKILL at a moment that is
// dealt by a seed, and started again.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { sha256Hex } from '../../src/base/index.ts';
import { planHash } from '../../src/protocol/index.ts';
import { openFileCommitStore } from '../../src/store/node/index.ts';
import { planOf, readStudy } from '../../src/study/index.ts';
import { bytesOf } from '../../src/tensor/index.ts';
import { type Ended, type Running, start } from '../e2e/septum.ts';
import type { Dice } from './mutations.ts';

export const phases = ['compute', 'send', 'write', 'rename', 'acknowledge'] as const;
export type Phase = (typeof phases)[number];
export const victims = ['server', 'site', 'all'] as const;
export type Victim = (typeof victims)[number];

const sites = ['site-1', 'site-2'] as const;
const epochs = 8;
/** Training records of each site. */
const trainCounts = [48, 24];

/** A study: its file's text, and who dies in it. */
export interface KillStudy {
  readonly name: string;
  readonly choices: string;
  readonly training?: string;
  readonly images?: boolean;
  readonly victims?: readonly Victim[];
}

export const studies: readonly KillStudy[] = [
  { name: 'union-mirrored', choices: 'labels: server' },
  { name: 'union-mirrored-adam', choices: 'labels: server', training: 'optimizer: { kind: adam }' },
  { name: 'union-private-secret', choices: 'labels: server, segments: private, segmentSeed: site' },
  { name: 'union-average', choices: 'labels: server, segments: average', training: 'roundSteps: 2' },
  { name: 'labels-at-sites', choices: 'labels: site' },
  { name: 'turns-relay', choices: 'labels: server, order: turns, segments: relay', training: 'turnSteps: 1' },
  { name: 'turns-average', choices: 'labels: server, order: turns, segments: average' },
  { name: 'averaged-average', choices: 'labels: server, order: none, trunk: averaged, segments: average' },
  { name: 'averaged-private', choices: 'labels: server, order: none, trunk: averaged, segments: private' },
  { name: 'buffered-mirrored', choices: 'labels: server, when: buffered', training: 'windowSteps: 3' },
  {
    name: 'buffered-private',
    choices: 'labels: server, when: buffered, segments: private',
    training: 'windowSteps: 2',
  },
  { name: 'ct-cnn', choices: 'labels: server', images: true },
  { name: 'ct-cnn-private', choices: 'labels: server, segments: private', images: true },
  // Its sites send nothing after their upload; the server dies.
  { name: 'detached', choices: 'labels: server, when: detached, order: none', victims: ['server'] },
];

/** Writes a study and its sites' records into `place`. */
export async function writeStudy(place: string, { choices, training, images = false }: KillStudy): Promise<void> {
  mkdirSync(place, { recursive: true });
  for (const [site, name] of sites.entries()) {
    if (images) await writeImages(join(place, `${name}-data`), site);
    else writeFileSync(join(place, `${name}.csv`), table(site));
  }
  const data = images
    ? `data:
  kind: images
  labels: labels.csv
  columns: { path: path, label: label, split: split }
  classes: [dark, light]
  positive: light
  image: { width: 16, height: 16, channels: 1 }`
    : `data:
  kind: table
  columns: { id: id, split: split }
  inputs: [{ column: a, unit: mm }, { column: b, unit: mm }]
  target: { column: y, unit: mm }`;
  writeFileSync(
    join(place, 'study.yaml'),
    `study: killed
choices: { ${choices} }
sites: { count: ${sites.length} }
network: ${images ? '{ name: ct-cnn, options: { size: 16 } }' : '{ name: lipid-mlp }'}
training: { batch: 12, epochs: ${epochs}, learningRate: 0.01${training === undefined ? '' : `, ${training}`} }
${data}
`,
  );
}

/** Parts by a record's number: of ten, six are trained on. */
const parts = ['train', 'train', 'train', 'val', 'test'];

function table(site: number): string {
  const lines = ['id,a,b,split,y'];
  const rows = Math.ceil(((trainCounts[site] ?? 0) * parts.length) / 3);
  for (let row = 1000 * site; row < 1000 * site + rows; row++) {
    const [a, b] = [(row * 37) % 101, (row * 53) % 89];
    lines.push(`r${row},${a},${b},${parts[row % parts.length]},${100 + 2 * a - b}`);
  }
  return `${lines.join('\n')}\n`;
}

async function writeImages(folder: string, site: number): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const lines = ['path,label,split'];
  const count = Math.ceil(((trainCounts[site] ?? 0) * parts.length) / 3);
  for (let image = 0; image < count; image++) {
    const isLight = image % 2 === 0;
    const value = (isLight ? 150 : 60) + ((image * 7 + site) % 40);
    const file = `image-${image}.png`;
    await sharp({ create: { width: 16, height: 16, channels: 3, background: { r: value, g: value, b: value } } })
      .png()
      .toFile(join(folder, file));
    lines.push(`${file},${isLight ? 'light' : 'dark'},${parts[image % parts.length]}`);
  }
  writeFileSync(join(folder, 'labels.csv'), `${lines.join('\n')}\n`);
}

/** Who is to die, when. */
export interface Death {
  readonly victim: Victim;
  /** Whose process is killed first. */
  readonly first: 'server' | (typeof sites)[number];
  readonly phase: Phase;
  readonly nth: number;
  readonly late: boolean;
}

/** Deals a death in `phase`. */
export function dealDeath(dice: Dice, phase: Phase, { victims: allowed = victims }: KillStudy): Death {
  const victim = allowed[dice.integer(allowed.length)] as Victim;
  const first = victim === 'server' || (victim === 'all' && dice.integer(2) === 0) ? 'server' : sites[dice.integer(2)];
  // An epoch is four to six steps, and as many messages or more.
  const ofCommits = phase === 'write' || phase === 'rename' || phase === 'acknowledge';
  const nth = ofCommits ? 1 + dice.integer(epochs - 1) : 12 + dice.integer(25);
  return { victim, first: first as Death['first'], phase, nth, late: dice.integer(2) === 0 };
}

/** What a study of processes ended with. */
export interface KillOutcome {
  /** SHA-256 of what each party has at the end, by party: the last commit's tensors, and its model's files. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly figures: unknown;
  /** How the process that was killed first ended. */
  readonly signal: NodeJS.Signals | null;
  /** Steps that were made again. */
  readonly redone: number;
  /** Server steps that count, in order, as the server's log has them. */
  readonly steps: readonly number[];
}

const preload = ['--import', new URL('kill-at.mjs', import.meta.url).href];

/** Runs the study in `place` with its state in `stateDir`; the dead are started again. */
export async function runStudy(place: string, stateDir: string, death?: Death): Promise<KillOutcome> {
  const study = join(place, 'study.yaml');
  const hash = planHash(planOf(await readStudy(study)).plan);
  const processes = new Map<string, Running>();
  const begin = (name: string, commandArguments: readonly string[], mayDie: boolean): Running => {
    const dies = mayDie && death?.first === name;
    const env = dies ? { SEPTUM_KILL_AT: JSON.stringify(death) } : {};
    const running = start(commandArguments, { node: dies ? preload : [], env });
    processes.set(name, running);
    return running;
  };
  const beginServer = (port: string, mayDie: boolean): Running =>
    begin(
      'server',
      ['server', '--insecure', '--study', study, '--state', join(stateDir, 'server'), '--listen', `127.0.0.1:${port}`],
      mayDie,
    );
  const server = beginServer('0', true);
  const [, url = '', port = ''] = await server.says(/listens on (ws:\/\/127\.0\.0\.1:(\d+))/);
  // Where a segment's start is its site's secret, it is the same in every run.
  for (const name of sites) {
    mkdirSync(join(stateDir, name, 'commits'), { recursive: true });
    writeFileSync(join(stateDir, name, 'commits', `${name}.seed`), sha256Hex(Buffer.from(name)).slice(32), {
      mode: 0o600,
    });
  }
  const beginSite = (name: string, mayDie: boolean): Running => {
    const data = join(place, readdirSync(place).find((entry) => entry.startsWith(name)) ?? '');
    const own = ['--name', name, '--study', study, '--data', data, '--state', join(stateDir, name), '--approve', hash];
    return begin(name, ['site', '--server', url, ...own], mayDie);
  };
  for (const name of sites) beginSite(name, true);

  let signal: NodeJS.Signals | null = null;
  if (death) {
    const ended = await (processes.get(death.first) as Running).ended;
    signal = ended.signal;
    if (signal !== 'SIGKILL') throw new Error(`${death.first} was to be killed, but ended by itself:\n${ended.stderr}`);
    const dead = death.victim === 'all' ? ['server', ...sites] : [death.first];
    const dying = dead.map((name) => processes.get(name) as Running);
    for (const { child } of dying) child.kill('SIGKILL');
    await Promise.all(dying.map(({ ended: gone }) => gone));
    if (dead.includes('server')) await beginServer(port, false).says(/listens on/);
    for (const name of dead) if (name !== 'server') beginSite(name, false);
  }
  const ends = await Promise.all([...processes].map(async ([name, { ended }]) => [name, await ended] as const));
  for (const [name, { code, stderr }] of ends) if (code !== 0) throw new Error(`${name} failed:\n${stderr}`);
  return { ...(await outcomeIn(stateDir, ends)), signal, ...stepsIn(join(stateDir, 'server', 'log.jsonl')) };
}

async function outcomeIn(
  stateDir: string,
  ends: readonly (readonly [string, Ended])[],
): Promise<Pick<KillOutcome, 'parameters' | 'figures'>> {
  const parameters: Record<string, string> = {};
  for (const [name] of ends) {
    const state = join(stateDir, name);
    const { commit, problems } = await (await openFileCommitStore(join(state, 'commits'))).latest(name);
    if (!commit || problems.length > 0) throw new Error(`${name} has no whole commit at its end: ${problems.join()}`);
    const tensors = Object.entries(commit.tensors).map(([tensor, value]) => `${tensor} ${sha256Hex(bytesOf(value))}`);
    // A server that the plan gives no segments has no model.
    const files = existsSync(join(state, 'model'))
      ? readdirSync(join(state, 'model'), { recursive: true, encoding: 'utf8' })
      : [];
    const model = files
      .filter((file) => file.endsWith('.onnx'))
      .map((file) => `${file} ${sha256Hex(readFileSync(join(state, 'model', file)))}`);
    parameters[name] = [`commit ${commit.index}`, ...tensors.toSorted(), ...model.toSorted()].join('\n');
  }
  const metrics = JSON.parse(readFileSync(join(stateDir, 'server', 'metrics.json'), 'utf8')) as Record<string, unknown>;
  for (const changing of ['bytesUp', 'bytesDown', 'seconds', 'samplesPerSecond']) delete metrics[changing];
  return { parameters, figures: metrics };
}

/** The steps that count, and how many were undone: what came after the commit from which a study went on is not among those that count. */
function stepsIn(logFile: string): Pick<KillOutcome, 'steps' | 'redone'> {
  const steps: number[] = [];
  let redone = 0;
  let runs = 0;
  for (const line of readFileSync(logFile, 'utf8').trimEnd().split('\n')) {
    const entry = JSON.parse(line) as { readonly event: string; readonly step: number };
    if (entry.event === 'run') runs += 1;
    if (entry.event === 'step') {
      // A server that was started again before its first commit says nothing of going on: it begins.
      if (runs > 1 && entry.step === 0 && steps.length > 0) redone += steps.splice(0).length;
      steps.push(entry.step);
    }
    if (entry.event === 'resumed') redone += steps.splice(entry.step).length;
  }
  return { steps, redone };
}
