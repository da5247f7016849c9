// A manifest as it is read back from a file: checked before any record is opened by it.

import { z } from 'zod';
import { DataError } from '../base/index.ts';
import type { Manifest } from './listing.ts';

const wholeNumber = z.int().min(0);

const manifestPart = z
  .strictObject({
    ids: z.array(z.string().min(1)),
    rows: z.array(wholeNumber),
    labels: z.array(z.number()),
    groups: z.array(wholeNumber),
  })
  .refine(({ ids, rows, labels, groups }) => [rows, labels, groups].every((list) => list.length === ids.length), {
    error: 'has lists of unequal length',
  });

const manifestSchema = z
  .strictObject({
    version: z.literal(1),
    site: wholeNumber,
    siteCount: z.int().min(1),
    classes: z.array(z.string()).nullable(),
    synthetic: z.boolean(),
    parts: z.strictObject({ train: manifestPart, val: manifestPart, test: manifestPart }),
  })
  .refine(({ site, siteCount }) => site < siteCount, { error: 'is of a site that is not one of the sites' })
  .refine(
    ({ classes, parts }) =>
      classes === null ||
      Object.values(parts).every(({ labels }) =>
        labels.every((label) => Number.isInteger(label) && label >= 0 && label < classes.length),
      ),
    { error: 'has a label that is none of its classes' },
  );

/** Checks a manifest read from `source`. Throws DataError `bad-file` with every problem. */
export function parseManifest(value: unknown, source: string): Manifest {
  const parsed = manifestSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path, message }) => `${source}: ${path.join('.')} ${message}`);
  throw new DataError('bad-file', problems, { cause: parsed.error });
}
