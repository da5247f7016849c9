// Opens a site's images: only the files in its manifest are ever read, each when it is read ahead or its row is first loaded. One that is
// read again, because the memory does not hold all, must be the file that it was.

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError, messageOf } from '../../base/index.ts';
import { imageData, PixelCache, unlabelledImages, type ImageReading } from '../image-data.ts';
import { leadsOut } from '../inside-folder.ts';
import type { ListOptions, Manifest, OpenedData, OpenOptions, UnlabelledData } from '../listing.ts';
import type { ImageFolderSettings } from '../settings.ts';
import { decodeImage } from './decode-image.ts';
import { listUnlabelledImages } from './list-images.ts';

/** Opens a manifest's images. */
export function openImages(
  settings: ImageFolderSettings,
  folder: string,
  manifest: Manifest,
  options: OpenOptions = {},
): OpenedData {
  return imageData(manifest.parts, readingOf(settings, folder, options), manifest.classes);
}

/** Opens all images of a folder, without labels. */
export async function openUnlabelledImages(
  settings: ImageFolderSettings,
  path: string,
  options: OpenOptions & Omit<ListOptions, 'seed'> = {},
): Promise<UnlabelledData> {
  const { folder, paths, skipped } = await listUnlabelledImages(settings, path, options);
  return unlabelledImages(paths, readingOf(settings, folder, options), skipped);
}

const putBack = 'put back the file that was there, and start again';

function readingOf({ image, augment }: ImageFolderSettings, folder: string, options: OpenOptions): ImageReading {
  const read = options.readFile ?? readFile;
  const digests = new Map<string, string>();
  return {
    image,
    augment,
    cache: new PixelCache(options.cacheBytesMax),
    decodesAside: true,
    decode: async (id) => {
      if (leadsOut(id)) throw new DataError('bad-data', `${id}: leads out of the data folder`);
      const file = join(folder, id);
      const bytes = await read(file).catch((cause: unknown) => {
        throw new DataError('missing-data', `${file}: cannot be read: ${messageOf(cause)}; ${putBack}`, { cause });
      });
      const digest = createHash('sha256').update(bytes).digest('base64');
      if (digest !== (digests.get(id) ?? digest))
        throw new DataError('bad-data', `${file}: was changed since it was first read; ${putBack}`);
      digests.set(id, digest);
      return decodeImage(bytes, image, file);
    },
  };
}
