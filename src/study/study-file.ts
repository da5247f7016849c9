// The study file: one YAML text from which server and sites make the same plan.

import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { ConfigError, messageOf, sha256Hex } from '../base/index.ts';
import { type DataSettings, targetOf } from '../data/index.ts';
import { networkProblems } from '../models/index.ts';
import {
  checkChoices,
  type Choices,
  type LossKind,
  type Method,
  presets,
  type TrainingSettings,
} from '../protocol/index.ts';
import { optionsOf } from './network-options.ts';
import { schemaProblems } from './schema-problems.ts';
import { type Path, pathText, StudyDocument } from './study-document.ts';
import { studySchema, type StudySections } from './study-schema.ts';

/** A user's own network as a file. */
export interface ModelFile {
  readonly bytes: Uint8Array;
  readonly sha256: string;
}

/** What a study file says, with its defaults filled in. */
export interface Study {
  readonly fileName: string;
  /** The file's text as it was read. */
  readonly text: string;
  readonly name: string;
  readonly seed: number;
  readonly method: Method;
  readonly choices: Choices;
  readonly sites: {
    readonly names: readonly string[];
    readonly ratio: readonly number[];
    /** Undefined where the study needs all sites. */
    readonly quorum: { readonly sites: number; readonly stragglerTimeoutMs: number } | undefined;
  };
  readonly network: {
    /** A named network, or the path of an .onnx file as it is written. */
    readonly name: string | undefined;
    readonly file: string | undefined;
    /** The file's content; there after `readStudy`. */
    readonly model: ModelFile | undefined;
    /** Where a named network's weights start from, and the file's content. */
    readonly start: string | undefined;
    readonly startModel: ModelFile | undefined;
    readonly options: Readonly<Record<string, number>>;
    readonly cut: string | undefined;
    readonly headCut: string | undefined;
    readonly loss: LossKind | undefined;
  };
  readonly training: TrainingSettings;
  readonly data: DataSettings;
  /** Undefined where the file gives none. */
  readonly threshold: number | undefined;
  readonly gives: { readonly trunkToSites: boolean; readonly segmentsToServer: boolean };
  /** `study.yaml:12` for messages about what is written at `path`, or for the section above it. */
  readonly placeOf: (path: Path) => string;
}

/**
 * Reads a study file's text. `fileName` is for messages. Throws ConfigError `bad-study` with every problem and its line;
 * `combination-refused` when nothing is wrong but that the choices do not go together.
 */
export function parseStudy(text: string, fileName: string): Study {
  const document = new StudyDocument(text, fileName);
  if (document.problems.length > 0) throw new ConfigError('bad-study', document.problems);
  if (document.value === null || typeof document.value !== 'object' || Array.isArray(document.value))
    throw new ConfigError(
      'bad-study',
      `${fileName}: is not a study file: expected sections such as study, sites and data`,
    );
  const parsed = studySchema.safeParse(document.value);
  const problems = parsed.success ? [] : schemaProblems(document, parsed.error.issues);
  problems.push(...crossProblems(document));
  const refusal = combinationProblem(document);
  if (refusal !== undefined && problems.length === 0) throw new ConfigError('combination-refused', refusal);
  if (refusal !== undefined) problems.push(refusal);
  if (problems.length > 0 || !parsed.success) throw new ConfigError('bad-study', inFileOrder(problems));
  const sections = parsed.data;
  const choices = choicesOf(sections);
  const { network, data, gives } = sections;
  return {
    fileName,
    text,
    name: sections.study,
    seed: sections.seed,
    method: sections.method,
    choices,
    sites: sitesOf(sections.sites),
    network: {
      name: network.name,
      file: network.file,
      model: undefined,
      start: network.start,
      startModel: undefined,
      options: network.options,
      cut: network.cut,
      headCut: network.headCut,
      loss: network.loss,
    },
    training: trainingOf(sections, document),
    data,
    threshold: sections.task.threshold,
    gives,
    placeOf: (path) => document.placeOf(path),
  };
}

/**
 * Reads a study file and the .onnx files that it names; `placeOf` says where those are if not beside it. Throws ConfigError as `parseStudy`
 * does, and when a file cannot be read.
 */
export async function readStudy(
  path: string,
  placeOf: (key: 'file' | 'start', name: string) => string = (_key, name) => resolve(dirname(path), name),
): Promise<Study> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new ConfigError('bad-study', `${path}: cannot be read: ${messageOf(cause)}`, { cause });
  });
  const study = parseStudy(text, path);
  const { file, start } = study.network;
  const read = async (key: 'file' | 'start', name: string): Promise<ModelFile> => {
    const bytes = await readFile(placeOf(key, name)).catch((cause: unknown) => {
      const place = study.placeOf(['network', key]);
      throw new ConfigError('bad-study', `${place}: network.${key}: cannot be read: ${messageOf(cause)}`, { cause });
    });
    return { bytes, sha256: sha256Hex(bytes) };
  };
  const model = file === undefined ? undefined : await read('file', file);
  const startModel = start === undefined ? undefined : await read('start', start);
  return { ...study, network: { ...study.network, model, startModel } };
}

/** A ratio as numbers, from `7:2:1` or a list. */
export function ratioOf(ratio: string | readonly number[]): number[] {
  return typeof ratio === 'string' ? ratio.split(':').map(Number) : [...ratio];
}

/** The names of sites that the study file does not name. */
export function defaultSiteNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `site-${index + 1}`);
}

function choicesOf({ method, choices }: Pick<StudySections, 'method' | 'choices'>): Choices {
  const { labels, segmentSeed, when, order, trunk, segments } = choices;
  const preset = presets[method];
  return {
    when: when ?? preset.when,
    labels,
    order: order ?? preset.order,
    trunk: trunk ?? preset.trunk,
    segments: segments ?? preset.segments,
    segmentSeed,
  };
}

/** How long a site is waited for where the study has a quorum and does not say. */
const stragglerTimeoutMsUsual = 60_000;

function sitesOf({ count, ratio, names, quorum, stragglerTimeoutMs }: StudySections['sites']): Study['sites'] {
  const given = ratio === undefined ? undefined : ratioOf(ratio);
  const siteCount = count ?? given?.length ?? names?.length ?? 0;
  return {
    names: names ?? defaultSiteNames(siteCount),
    ratio: given ?? Array.from({ length: siteCount }, () => 1),
    quorum:
      quorum === undefined
        ? undefined
        : { sites: quorum, stragglerTimeoutMs: stragglerTimeoutMs ?? stragglerTimeoutMsUsual },
  };
}

function trainingOf({ method, training }: StudySections, document: StudyDocument): TrainingSettings {
  const shuffles = method === 'splitfed-v2' && document.valueAt(['training', 'turnOrder']) === undefined;
  return shuffles ? { ...training, turnOrder: 'shuffled' } : training;
}

/** What no single value shows: sections that contradict each other. Asks only what is written, so that it works beside other problems. */
function crossProblems(document: StudyDocument): string[] {
  const problems: string[] = [];
  const problem = (path: Path, text: string) => problems.push(`${document.placeOf(path)}: ${pathText(path)} ${text}`);
  const { shape } = studySchema;
  // Unknown keys are the schema's to tell; here they hide nothing.
  const sites = shape.sites.strip().safeParse(document.valueAt(['sites']));
  if (sites.success) {
    const { count, ratio, names } = sites.data;
    const parts = ratio === undefined ? undefined : ratioOf(ratio).length;
    if (count === undefined && parts === undefined && names === undefined)
      problem(['sites', 'count'], 'is missing: say how many sites take part');
    if (count !== undefined && parts !== undefined && parts !== count)
      problem(['sites', 'ratio'], `has ${parts} parts, but sites.count is ${count}`);
    if (names !== undefined && names.length !== (count ?? parts ?? names.length))
      problem(['sites', 'names'], `has ${names.length} names, but there are ${count ?? parts} sites`);
    if (names !== undefined && new Set(names).size < names.length) problem(['sites', 'names'], 'names a site twice');
    const { quorum, stragglerTimeoutMs } = sites.data;
    const siteCount = sitesOf(sites.data).names.length;
    if (quorum !== undefined && siteCount > 0 && quorum > siteCount)
      problem(['sites', 'quorum'], `is ${quorum}, but there are ${siteCount} sites`);
    if (stragglerTimeoutMs !== undefined && quorum === undefined)
      problem(['sites', 'stragglerTimeoutMs'], 'is for a study with a quorum: say sites.quorum too');
  }

  const data = shape.data.safeParse(document.valueAt(['data']));
  const network = shape.network.strip().safeParse(document.valueAt(['network']));
  if (network.success) {
    const { name, file, start, options } = network.data;
    if (name !== undefined && file !== undefined)
      problem(['network', 'file'], 'and network.name are both given: give one');
    else if (name?.toLowerCase().endsWith('.onnx') === true)
      problem(['network', 'name'], `is a path: write it as file: ${name}`);
    else if (name === undefined && file === undefined)
      problem(['network', 'name'], 'is missing: name a network, or give the file of one');
    else if (name !== undefined) {
      const all = data.success ? optionsOf(network.data, data.data) : options;
      for (const { option, text } of networkProblems(name, all))
        problems.push(
          `${document.placeOf(option === undefined ? ['network', 'name'] : ['network', 'options', option])}: ${text}`,
        );
    }
    if (file !== undefined && Object.keys(options).length > 0)
      problem(['network', 'options'], 'are for named networks; a file has none');
    if (file !== undefined && start !== undefined)
      problem(['network', 'start'], 'is for named networks; a file brings its own weights');
    if ((file ?? start) !== undefined && document.valueAt(['choices', 'segmentSeed']) === 'site')
      problem(['choices', 'segmentSeed'], 'is site, but the segment starts from a file, which is no secret of a site');
  }

  const threshold = document.valueAt(['task', 'threshold']);
  if (data.success && threshold !== undefined) {
    const target = targetOf(data.data);
    if (target.kind === 'regression')
      problem(['task', 'threshold'], `is for classes, but the study predicts the number ${target.column}`);
    else if (target.classes.length > 2)
      problem(['task', 'threshold'], `is for two classes, but data.classes has ${target.classes.length}`);
  }

  const training = shape.training
    .unwrap()
    .strip()
    .safeParse(document.valueAt(['training']) ?? {});
  const choices = writtenChoices(document);
  if (training.success && choices) {
    const { when, order } = choices;
    const { augmentPasses, turnSteps, turnOrder, windowSteps, discipline, batch } = training.data;
    const siteCount = sites.success ? sitesOf(sites.data).names.length : 0;
    if (batch < siteCount && order === 'union')
      problem(
        ['training', 'batch'],
        `is ${batch}, but there are ${siteCount} sites: a step takes at least one record a site`,
      );
    if (augmentPasses > 0 && when !== 'detached')
      problem(['training', 'augmentPasses'], `is for when: detached; with when: ${when} every epoch varies its images`);
    if (augmentPasses > 0 && data.success && !varies(data.data))
      problem(
        ['training', 'augmentPasses'],
        `is ${augmentPasses}, but data.augment varies nothing: every pass would be alike`,
      );
    if (turnSteps !== undefined && order !== 'turns')
      problem(['training', 'turnSteps'], `is for order: turns, but order is ${order}`);
    if (turnOrder === 'shuffled' && order !== 'turns')
      problem(['training', 'turnOrder'], `is for order: turns, but order is ${order}`);
    if (windowSteps !== undefined && when !== 'buffered')
      problem(['training', 'windowSteps'], `is for when: buffered, but when is ${when}`);
    if (discipline !== undefined && order !== 'arrival')
      problem(['training', 'discipline'], `is for order: arrival, but order is ${order}`);
  }
  return problems;
}

/** Why the choices do not go together, with its place; undefined when they do, or when one of them is not understood. */
function combinationProblem(document: StudyDocument): string | undefined {
  const choices = writtenChoices(document);
  try {
    if (choices) checkChoices(choices);
    return undefined;
  } catch (error) {
    if (error instanceof ConfigError) return `${document.placeOf(['choices'])}: ${error.message}`;
    throw error;
  }
}

/** The choices that are written, whatever unknown keys stand beside them; undefined when one is not understood. */
function writtenChoices(document: StudyDocument): Choices | undefined {
  const choices = studySchema.shape.choices.strip().safeParse(document.valueAt(['choices']));
  const method = studySchema.shape.method.safeParse(document.valueAt(['method']));
  return choices.success && method.success ? choicesOf({ choices: choices.data, method: method.data }) : undefined;
}

function varies(data: DataSettings): boolean {
  if (data.kind === 'table') return false;
  const { flipHorizontal, flipVertical, shift, rotateDegrees, brightness, contrast } = data.augment;
  return flipHorizontal || flipVertical || Math.max(shift, rotateDegrees, brightness, contrast) > 0;
}

/** Problems by line; those of one line as they were found, and none twice. */
function inFileOrder(problems: readonly string[]): string[] {
  const line = (problem: string) => Number(/:(\d+): /.exec(problem)?.[1] ?? 0);
  return [...new Set(problems)].toSorted((a, b) => line(a) - line(b));
}
