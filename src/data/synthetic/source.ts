// The synthetic cases as a source of records. Each record is a function of (seed, case, its index), so a site's process makes its own
// records and no other, and there are no files.

import { randomStream, type RandomStream } from '../../base/index.ts';
import { PixelCache, imageData, unlabelledImages, type ImageReading } from '../image-data.ts';
import { cholesterolInputs, targetOf } from '../inputs.ts';
import { ListingBuilder } from '../listing-builder.ts';
import type { Listing, ListOptions, Manifest, OpenedData, OpenOptions, UnlabelledData } from '../listing.ts';
import { recordOfParts } from '../records.ts';
import type { SyntheticSettings } from '../settings.ts';
import { tableData, unlabelledTable } from '../table-data.ts';
import { boneXray } from './bone-xray.ts';
import { lipidPanel } from './cholesterol.ts';
import { covidSlice } from './covid-ct.ts';

/** Lists the records of a synthetic case; parts by hash of (study seed, group), as for real data without a split column. */
export function listSynthetic(settings: SyntheticSettings, options: ListOptions): Listing {
  const target = targetOf(settings);
  const builder = new ListingBuilder({
    seed: options.seed,
    splitNames: { train: [], val: [], test: [] },
    fractions: settings.fractions,
    classes: target.kind === 'classification' ? target.classes : null,
    source: `synthetic ${settings.case}`,
    place: (row) => `record ${row}`,
  });
  const labels = trueLabels(settings);
  // A permutation of all records: a label then says nothing of its own record.
  const order = settings.shuffleLabels
    ? randomStream(settings.seed, 'synthetic', [settings.case, 'shuffle']).permutation(settings.records)
    : null;
  for (let row = 0; row < settings.records; row++)
    builder.add({
      row,
      id: syntheticId(settings, row),
      group: `${settings.case}-group-${groupOf(settings, row)}`,
      split: null,
      label: labels(order === null ? row : order[row]!),
    });
  if (settings.shuffleLabels) builder.warnings.push('labels are shuffled: there is nothing to learn');
  return builder.finish(0, { synthetic: true });
}

/** Makes a manifest's records. */
export function openSynthetic(settings: SyntheticSettings, manifest: Manifest, options?: OpenOptions): OpenedData {
  if (settings.case !== 'cholesterol')
    return imageData(manifest.parts, imageReading(settings, options), manifest.classes);
  const raw = recordOfParts((part) => rawPanels(settings, manifest.parts[part].rows));
  return tableData(manifest.parts, raw, cholesterolInputs, manifest.classes);
}

/** All records without their labels, in order. */
export function openUnlabelledSynthetic(settings: SyntheticSettings, options?: OpenOptions): UnlabelledData {
  const rows = Array.from({ length: settings.records }, (_, row) => row);
  const ids = rows.map((row) => syntheticId(settings, row));
  return settings.case === 'cholesterol'
    ? unlabelledTable(ids, rawPanels(settings, rows), cholesterolInputs)
    : unlabelledImages(ids, imageReading(settings, options));
}

function syntheticId(settings: SyntheticSettings, row: number): string {
  return `synthetic-${settings.case}-${row}`;
}

/** Slices of one scan, knees of one patient; a lipid panel is alone. */
function groupOf(settings: SyntheticSettings, row: number): number {
  switch (settings.case) {
    case 'cholesterol':
      return row;
    case 'bone-xray':
      return Math.floor(row / 2);
    case 'covid-ct': {
      // Twelve slices are three scans, of 3, 5 and 4 slices.
      const place = row % 12;
      return 3 * Math.floor(row / 12) + (place < 3 ? 0 : place < 8 ? 1 : 2);
    }
  }
}

function streamOf(settings: SyntheticSettings, use: string): RandomStream {
  return randomStream(settings.seed, 'synthetic', [settings.case, use]);
}

/**
 * The label that goes with each record. A scan has one class; of a patient's knees the second is as the first in three of four. Of two
 * groups in succession one has each class, in random order, so that the classes are about equal.
 */
function trueLabels(settings: SyntheticSettings): (row: number) => number {
  const stream = streamOf(settings, 'label');
  const classOf = (group: number) => (stream.uniform(0, Math.floor(group / 2)) < 0.5 ? group % 2 : 1 - (group % 2));
  switch (settings.case) {
    case 'cholesterol': {
      const panels = streamOf(settings, 'panel');
      return (row) => lipidPanel(panels, row).ldl;
    }
    case 'covid-ct':
      return (row) => classOf(groupOf(settings, row));
    case 'bone-xray':
      return (row) => {
        const group = groupOf(settings, row);
        const first = classOf(group);
        return row % 2 === 1 && stream.uniform(1, group) < 0.25 ? 1 - first : first;
      };
  }
}

function rawPanels(settings: SyntheticSettings, rows: readonly number[]): Float64Array {
  const panels = streamOf(settings, 'panel');
  const width = cholesterolInputs.length;
  const raw = new Float64Array(rows.length * width);
  rows.forEach((row, index) => raw.set(lipidPanel(panels, row).inputs, index * width));
  return raw;
}

function imageReading(settings: SyntheticSettings, options: OpenOptions = {}): ImageReading {
  const { image, augment } = settings;
  const anatomy = streamOf(settings, 'anatomy');
  const own = streamOf(settings, 'image');
  const labels = trueLabels(settings);
  const draw = settings.case === 'covid-ct' ? covidSlice : boneXray;
  return {
    image,
    augment,
    cache: new PixelCache(options.cacheBytesMax),
    decodesAside: false,
    decode: (_, row) => {
      const canvas = draw(anatomy, own, groupOf(settings, row), row, labels(row) === 1, image.width, image.height);
      return Promise.resolve(canvas.toPixels(image.channels));
    },
  };
}
