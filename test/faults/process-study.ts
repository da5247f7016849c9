// A study of real processes, `septum server` and two times `septum site`, on this machine: how its files are written, how its processes are
// started, and what it ends with.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { sha256Hex } from '../../src/base/index.ts';
import { planHash } from '../../src/protocol/index.ts';
import { openFileCommitStore } from '../../src/store/node/index.ts';
import { planOf, readStudy } from '../../src/study/index.ts';
import { bytesOf } from '../../src/tensor/index.ts';
import { type Ended, type Running, start, type StartOptions } from '../e2e/septum.ts';

export const sites = ['site-1', 'site-2'] as const;
export const epochs = 8;
/** Training records of each site. */
const trainCounts = [48, 24];
/** Server steps of a study: an epoch is of 12 records a step. */
export const stepsInAll = (epochs * (48 + 24)) / 12;

/** What of a study's file is its own. */
export interface StudyText {
  readonly name: string;
  readonly choices: string;
  readonly training?: string;
  readonly images?: boolean;
}

/** Writes a study and its sites' records into `place`. */
export async function writeStudy(place: string, { choices, training, images = false }: StudyText): Promise<void> {
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

/** What a study of processes ended with. */
export interface ProcessOutcome {
  /** SHA-256 of what each party has at the end, by party: the last commit's tensors, and its model's files. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly figures: unknown;
}

/** Where a party's state is: for its process, and for the test, where that sees it elsewhere. */
export interface StateFolder {
  readonly forProcess: string;
  readonly forTest: string;
}

/** The processes of one run of the study in `place`. */
export class ProcessStudy {
  readonly #place: string;
  readonly #study: string;
  readonly #hash: string;
  readonly #images: boolean;
  readonly #folders: (name: string) => StateFolder;
  readonly processes = new Map<string, Running>();
  #port = '0';

  private constructor(place: string, hash: string, images: boolean, folders: (name: string) => StateFolder) {
    this.#place = place;
    this.#images = images;
    this.#study = join(place, 'study.yaml');
    this.#hash = hash;
    this.#folders = folders;
  }

  /** `stateDir` holds a folder for each party; `folders` may put one elsewhere. */
  static async prepare(
    place: string,
    stateDir: string,
    elsewhere: Readonly<Record<string, StateFolder>> = {},
  ): Promise<ProcessStudy> {
    const file = await readStudy(join(place, 'study.yaml'));
    const { plan } = planOf(file);
    const study = new ProcessStudy(place, planHash(plan), file.data.kind === 'images', (name) => {
      const own = join(stateDir, name);
      return elsewhere[name] ?? { forProcess: own, forTest: own };
    });
    // Where a segment's start is its site's secret, it is the same in every run.
    if (plan.choices.segmentSeed === 'site') for (const name of sites) study.#writeSecret(name);
    return study;
  }

  /** Where the test sees a party's state. */
  folder(name: string): string {
    return this.#folders(name).forTest;
  }

  /** Starts the server, on the port that it had before, and waits until it listens. */
  async server(options?: StartOptions, ...more: readonly string[]): Promise<Running> {
    const running = this.startServer(options, ...more);
    const [, port = ''] = await running.says(/listens on ws:\/\/127\.0\.0\.1:(\d+)/);
    this.#port = port;
    return running;
  }

  startServer(options?: StartOptions, ...more: readonly string[]): Running {
    const state = this.#folders('server').forProcess;
    const own = ['--insecure', '--study', this.#study, '--state', state, '--listen', `127.0.0.1:${this.#port}`];
    return this.#start('server', ['server', ...own, ...more], options);
  }

  site(name: string, options?: StartOptions, ...more: readonly string[]): Running {
    const data = join(this.#place, `${name}${this.#images ? '-data' : '.csv'}`);
    const state = this.#folders(name).forProcess;
    const server = `ws://127.0.0.1:${this.#port}`;
    const own = ['--name', name, '--study', this.#study, '--data', data, '--state', state, '--approve', this.#hash];
    return this.#start(name, ['site', '--server', server, ...own, ...more], options);
  }

  /** Waits for the end of all, which have to end well. */
  async ended(): Promise<ProcessOutcome> {
    const ends = await Promise.all(
      [...this.processes].map(async ([name, { ended }]): Promise<readonly [string, Ended]> => [name, await ended]),
    );
    for (const [name, { code, stderr }] of ends) if (code !== 0) throw new Error(`${name} failed:\n${stderr}`);
    return this.outcome();
  }

  async outcome(): Promise<ProcessOutcome> {
    const parameters: Record<string, string> = {};
    for (const name of ['server', ...sites]) {
      const model = modelFiles(join(this.folder(name), 'model'));
      parameters[name] = [...(await this.lastCommit(name)), ...model].join('\n');
    }
    const metrics = JSON.parse(readFileSync(join(this.folder('server'), 'metrics.json'), 'utf8')) as Record<
      string,
      unknown
    >;
    for (const changing of ['bytesUp', 'bytesDown', 'seconds', 'samplesPerSecond']) delete metrics[changing];
    return { parameters, figures: metrics };
  }

  /** A party's newest commit in words: its steps and its tensors' digests. Throws where there is none, or one is not whole. */
  async lastCommit(name: string): Promise<readonly string[]> {
    const { commit, problems } = await (await openFileCommitStore(join(this.folder(name), 'commits'))).latest(name);
    if (!commit || problems.length > 0) throw new Error(`${name} has no whole commit: ${problems.join()}`);
    const tensors = Object.entries(commit.tensors).map(([tensor, value]) => `${tensor} ${sha256Hex(bytesOf(value))}`);
    return [`commit ${commit.index}`, ...tensors.toSorted()];
  }

  #start(name: string, commandArguments: readonly string[], options?: StartOptions): Running {
    const running = start(commandArguments, options);
    this.processes.set(name, running);
    return running;
  }

  #writeSecret(name: string): void {
    mkdirSync(join(this.folder(name), 'commits'), { recursive: true });
    const secret = sha256Hex(Buffer.from(name)).slice(32);
    writeFileSync(join(this.folder(name), 'commits', `${name}.seed`), secret, { mode: 0o600 });
  }
}

/** A model's graphs, by name, with their digests. A server that the plan gives no segments has none. */
function modelFiles(folder: string): readonly string[] {
  const files = existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }) : [];
  return files
    .filter((file) => file.endsWith('.onnx'))
    .map((file) => `${file} ${sha256Hex(readFileSync(join(folder, file)))}`)
    .toSorted();
}
