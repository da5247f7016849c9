// Lists a folder of images: from its labels file, or from the names of its folders. Every image is decoded once, so that all broken
// files are found together and before any training.

import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DataError, messageOf } from '../../base/index.ts';
import { leadsOut } from '../inside-folder.ts';
import { ListingBuilder, type ListingRules } from '../listing-builder.ts';
import type { ListOptions, Listing } from '../listing.ts';
import { groupOfPath } from '../path-pattern.ts';
import type { ImageFolderSettings } from '../settings.ts';
import { quoted } from '../table-records.ts';
import { decodeImage } from './decode-image.ts';
import { addRagged, requireColumns, warnOfSplit } from './list-table.ts';
import { TableSource } from './table-source.ts';

const imageName = /\.(png|jpe?g|bmp|tiff?)$/i;

/** Lists a folder of images. Throws DataError with every problem. */
export async function listImages(
  settings: ImageFolderSettings,
  folder: string,
  options: ListOptions,
): Promise<Listing> {
  const info = await stat(folder).catch((cause: unknown) => {
    throw new DataError('missing-data', `${folder}: there is no such folder`, { cause });
  });
  if (!info.isDirectory())
    throw new DataError('missing-data', `${folder}: is a file, but a folder of images was expected`);
  return settings.layout === 'labels'
    ? listLabelsFile(settings, folder, options)
    : listClassFolders(settings, folder, options);
}

/** Images without labels, and what was skipped of them, a line each. */
interface UnlabelledImages {
  readonly folder: string;
  readonly paths: readonly string[];
  readonly skipped: readonly string[];
}

/**
 * Every image below a folder without labels: in the order of the labels file if there is one, else by path. Or one file. Each is decoded
 * once, so that all broken ones are told together. Throws DataError.
 */
export async function listUnlabelledImages(
  settings: ImageFolderSettings,
  path: string,
  options: Omit<ListOptions, 'seed'> = {},
): Promise<UnlabelledImages> {
  const info = await stat(path).catch((cause: unknown) => {
    throw new DataError('missing-data', `${path}: there is no such file or folder`, { cause });
  });
  const labels = join(path, settings.labels);
  if (info.isDirectory() && settings.layout === 'labels' && (await isFile(labels)))
    return listUnlabelledFile(settings, path, options);
  const folder = info.isDirectory() ? path : dirname(path);
  const images = info.isDirectory() ? (await findImages(path)).images : [basename(path)];
  if (images.length === 0) throw new DataError('missing-data', `${folder}: holds no PNG, JPEG, BMP or TIFF file`);
  const builder = new ListingBuilder(rulesOf(settings, 0, folder, (row) => join(folder, images[row] as string)));
  const checks = new FileChecks(settings, folder, builder, options);
  try {
    for (const [row, image] of images.entries()) await checks.add(image, row);
  } finally {
    await checks.done();
  }
  return goodImages(folder, images, builder, options);
}

async function listUnlabelledFile(
  settings: ImageFolderSettings,
  folder: string,
  options: Omit<ListOptions, 'seed'>,
): Promise<UnlabelledImages> {
  const source = await TableSource.open(join(folder, settings.labels), settings.delimiter);
  const builder = new ListingBuilder(rulesOf(settings, 0, source.file, (row) => source.place(row)));
  const checks = new FileChecks(settings, folder, builder, options);
  try {
    const column = settings.columns.path;
    requireColumns(source, [{ column, declared: 'data.columns.path' }], builder.bad);
    addRagged(source, builder.bad);
    const paths: (string | null)[] = [];
    for await (const batch of source.read([column])) {
      for (const { row, cells } of batch) {
        const [path = null] = cells;
        paths.push(path);
        if ((await checkPath(builder, folder, row, source.place(row), path)) && path !== null)
          await checks.add(path, row, source.place(row));
      }
    }
    await checks.done();
    return goodImages(folder, paths, builder, options);
  } finally {
    await checks.done();
    source.close();
  }
}

/** The images that are not bad. Throws DataError when too many are, or none is left. */
function goodImages(
  folder: string,
  rows: readonly (string | null)[],
  { bad }: ListingBuilder,
  { skipBad = 0 }: Omit<ListOptions, 'seed'>,
): UnlabelledImages {
  const skipped = bad.skipped(skipBad);
  const paths = rows.filter((path, row) => path !== null && !bad.has(row)) as string[];
  if (paths.length === 0) throw new DataError('missing-data', [`${folder}: holds no records`, ...skipped]);
  return { folder, paths, skipped };
}

function rulesOf(
  settings: ImageFolderSettings,
  seed: number,
  source: string,
  place: (row: number) => string,
): ListingRules {
  const { splitNames, fractions, classes } = settings;
  return { seed, splitNames, fractions, classes, source, place };
}

async function listLabelsFile(settings: ImageFolderSettings, folder: string, options: ListOptions): Promise<Listing> {
  const { classes, columns } = settings;
  const source = await TableSource.open(join(folder, settings.labels), settings.delimiter);
  const builder = new ListingBuilder(rulesOf(settings, options.seed, source.file, (row) => source.place(row)));
  const checks = new FileChecks(settings, folder, builder, options);
  try {
    const declared = (['path', 'label', 'group', 'split'] as const).flatMap((role) => {
      const column = columns[role];
      return column === undefined ? [] : [{ column, declared: `data.columns.${role}` }];
    });
    requireColumns(source, declared, builder.bad);
    addRagged(source, builder.bad);
    warnOfSplit(source, settings, builder);
    const names = declared.map(({ column }) => column);
    for await (const batch of source.read(names)) {
      for (const { row, cells } of batch) {
        const place = source.place(row);
        const cell = (column: string | undefined) =>
          column === undefined ? null : (cells[names.indexOf(column)] ?? null);
        const path = cell(columns.path);
        const isThere = await checkPath(builder, folder, row, place, path);
        const text = cell(columns.label);
        const label = text === null ? -1 : classes.indexOf(text);
        if (text === null) builder.bad.add(row, `${place}: ${columns.label} is missing`);
        else if (label < 0)
          builder.bad.add(row, `${place}: ${columns.label} is ${quoted(text)}, which is none of ${classes.join(', ')}`);
        for (const column of [columns.group, columns.split])
          if (column !== undefined && cell(column) === null) builder.bad.add(row, `${place}: ${column} is missing`);
        const split = cell(columns.split);
        const group = path === null ? null : (patternGroup(settings, builder, row, place, path) ?? cell(columns.group));
        if (path === null || builder.bad.has(row)) builder.note({ row, id: path, split });
        else builder.add({ row, id: path, group, split, label });
        if (path !== null && isThere) await checks.add(path, row, place);
      }
    }
    await checks.done();
    return builder.finish(options.skipBad ?? 0);
  } finally {
    await checks.done();
    source.close();
  }
}

async function listClassFolders(settings: ImageFolderSettings, folder: string, options: ListOptions): Promise<Listing> {
  const { classes } = settings;
  const { images, others } = await findImages(folder);
  const builder = new ListingBuilder(rulesOf(settings, options.seed, folder, (row) => join(folder, images[row]!)));
  const checks = new FileChecks(settings, folder, builder, options);
  if (others.length > 0)
    builder.warnings.push(`${folder}: ${others.length} files are no images and were passed over, such as ${others[0]}`);
  for (const [row, path] of images.entries()) {
    const place = join(folder, path);
    const steps = path.split('/');
    const split = settings.layout === 'part-class-folders' ? (steps.shift() ?? null) : null;
    const name = steps.length > 1 ? steps[0]! : null;
    const label = name === null ? -1 : classes.indexOf(name);
    if (label < 0) {
      const expected = settings.layout === 'part-class-folders' ? 'PART/CLASS/FILE' : 'CLASS/FILE';
      builder.bad.add(
        row,
        name === null
          ? `${place}: is not in a class folder, but ${expected} was expected`
          : `${place}: the class folder is ${quoted(name)}, which is none of ${classes.join(', ')}`,
      );
    }
    const group = patternGroup(settings, builder, row, place, path);
    if (!builder.bad.has(row)) builder.add({ row, id: path, group, split, label });
    else if (name !== null) builder.note({ row, id: path, split });
    await checks.add(path, row);
  }
  await checks.done();
  return builder.finish(options.skipBad ?? 0);
}

/** The group that the path names; null where no pattern is declared. A path that does not fit is bad. */
function patternGroup(
  { groupPattern }: ImageFolderSettings,
  builder: ListingBuilder,
  row: number,
  place: string,
  path: string,
): string | null {
  if (groupPattern === undefined) return null;
  const group = groupOfPath(groupPattern, path);
  if (group === null) builder.bad.add(row, `${place}: ${quoted(path)} does not fit data.groupPattern ${groupPattern}`);
  return group ?? path;
}

/** Whether a path leads to an image's file; notes one that leads out of the folder, is of another kind, or leads to no file. */
async function checkPath(
  builder: ListingBuilder,
  folder: string,
  row: number,
  place: string,
  path: string | null,
): Promise<boolean> {
  if (path === null) builder.bad.add(row, `${place}: the path is missing`);
  else if (leadsOut(path)) builder.bad.add(row, `${place}: ${quoted(path)} leads out of the data folder`);
  else if (!imageName.test(path))
    builder.bad.add(row, `${place}: ${quoted(path)} is not named as a PNG, JPEG, BMP or TIFF file`);
  else if (await isFile(join(folder, path))) return true;
  else builder.bad.add(row, `${place}: there is no file ${join(folder, path)}`);
  return false;
}

const checkedAtOnce = 4;

/** Decodes files, a few at a time, and notes those that are broken. */
class FileChecks {
  readonly #settings: ImageFolderSettings;
  readonly #folder: string;
  readonly #builder: ListingBuilder;
  readonly #options: Omit<ListOptions, 'seed'>;
  readonly #running = new Set<Promise<void>>();
  #checked = 0;

  constructor(
    settings: ImageFolderSettings,
    folder: string,
    builder: ListingBuilder,
    options: Omit<ListOptions, 'seed'>,
  ) {
    this.#settings = settings;
    this.#folder = folder;
    this.#builder = builder;
    this.#options = options;
  }

  /** Begins to check a file, once fewer than the most are being checked. `place` names the row in a message. Throws the signal's reason. */
  async add(path: string, row: number, place?: string): Promise<void> {
    this.#options.signal?.throwIfAborted();
    while (this.#running.size >= checkedAtOnce) await Promise.race(this.#running);
    const check = this.#check(path, row, place).finally(() => this.#running.delete(check));
    this.#running.add(check);
  }

  async done(): Promise<void> {
    await Promise.all(this.#running);
  }

  async #check(path: string, row: number, place: string | undefined): Promise<void> {
    const file = join(this.#folder, path);
    try {
      await decodeImage(await readFile(file), this.#settings.image, file);
    } catch (error) {
      const problem = error instanceof DataError ? error.message : `${file}: cannot be read: ${messageOf(error)}`;
      this.#builder.bad.add(row, place === undefined ? problem : `${place}: ${problem}`);
    }
    this.#options.onChecked?.(++this.#checked);
  }
}

/** Paths below `folder`, with `/`, in order of their text. Hidden files and folders are passed over. */
async function findImages(folder: string): Promise<{ images: string[]; others: string[] }> {
  const images: string[] = [];
  const others: string[] = [];
  const seen = new Set<string>();
  const walk = async (below: string): Promise<void> => {
    const here = await realpath(join(folder, below));
    // A link may lead back up.
    if (seen.has(here)) return;
    seen.add(here);
    const entries = await readdir(here);
    for (const name of entries.toSorted()) {
      if (name.startsWith('.')) continue;
      const path = below === '' ? name : `${below}/${name}`;
      if ((await stat(join(folder, path))).isDirectory()) await walk(path);
      else (imageName.test(name) ? images : others).push(path);
    }
  };
  await walk('');
  return { images, others };
}

async function isFile(path: string): Promise<boolean> {
  // Whatever the reason that it cannot be looked at, there is no file to read.
  return stat(path).then(
    (info) => info.isFile(),
    () => false,
  );
}
