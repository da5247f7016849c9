import { describe, expect, it } from 'vitest';
import { deal, manifestCounts } from '../deal.ts';
import { parts, type Part } from '../records.ts';
import { parseDataSettings, syntheticCases, type SyntheticSettings } from '../settings.ts';
import { ldlNoiseMgdl } from './cholesterol.ts';
import { listSynthetic, openSynthetic, openUnlabelledSynthetic } from './source.ts';

function settingsOf(name: string, changes: object = {}): SyntheticSettings {
  return parseDataSettings({ kind: 'synthetic', case: name, records: 600, ...changes }) as SyntheticSettings;
}

function whole(settings: SyntheticSettings) {
  const listing = listSynthetic(settings, { seed: 1 });
  const data = openSynthetic(settings, deal(listing, [1])[0]!);
  data.pooling.setStandardisation({ mean: Array(7).fill(0), sd: Array(7).fill(1) });
  return { listing, data };
}

/** The inputs of every record of a part, `[records][values]`, with its labels. */
async function everything(settings: SyntheticSettings, part: Part) {
  const { data } = whole(settings);
  const records = data.parts[part];
  const rows = Array.from({ length: records.count }, (_, row) => row);
  const { data: values } = await records.load(rows);
  const size = values.length / records.count;
  return { inputs: rows.map((row) => values.subarray(row * size, (row + 1) * size)), labels: records.labels };
}

/** The share of pairs of unlike labels that a score puts in order. */
function auc(scores: readonly number[], labels: ArrayLike<number>): number {
  let ordered = 0;
  let pairs = 0;
  scores.forEach((score, a) =>
    scores.forEach((other, b) => {
      if (labels[a] !== 1 || labels[b] !== 0) return;
      pairs++;
      ordered += score > other ? 1 : score === other ? 0.5 : 0;
    }),
  );
  return ordered / pairs;
}

describe.each(syntheticCases)('the synthetic case %s', (name) => {
  it('is called synthetic, in its listing, ids and manifests', () => {
    const { listing } = whole(settingsOf(name));
    expect(listing.synthetic).toBe(true);
    expect(listing.records.every(({ id }) => id.startsWith('synthetic-'))).toBe(true);
    expect(deal(listing, [2, 1]).every(({ synthetic }) => synthetic)).toBe(true);
    expect(listing.records.length).toBe(600);
  });

  it('makes a record the same whoever makes it, and another with another seed', async () => {
    const settings = settingsOf(name);
    const { listing, data } = whole(settings);
    const sites = deal(listing, [2, 1, 1]).map((manifest) => openSynthetic(settings, manifest));
    const all = data.parts.train;
    for (const site of sites) {
      site.pooling.setStandardisation({ mean: Array(7).fill(0), sd: Array(7).fill(1) });
      const { ids, labels } = site.parts.train;
      const last = ids.length - 1;
      const row = all.ids.indexOf(ids[last]!);
      expect(labels[last]).toBe(all.labels[row]);
      expect((await site.parts.train.load([last])).data).toEqual((await all.load([row])).data);
    }
    // More records are further records.
    const more = openUnlabelledSynthetic(settingsOf(name, { records: 900 }));
    const other = openUnlabelledSynthetic(settingsOf(name, { seed: 2 }));
    more.setStandardisation({ mean: Array(7).fill(0), sd: Array(7).fill(1) });
    other.setStandardisation({ mean: Array(7).fill(0), sd: Array(7).fill(1) });
    const row = Number(all.ids[5]!.split('-').at(-1));
    expect((await more.records.load([row])).data).toEqual((await all.load([5])).data);
    expect((await other.records.load([row])).data).not.toEqual((await all.load([5])).data);
  });

  it('keeps a group in one part', () => {
    const partOf = new Map<string, string>();
    for (const { group, part } of whole(settingsOf(name)).listing.records) {
      expect(partOf.get(group) ?? part).toBe(part);
      partOf.set(group, part);
    }
    expect(new Set(partOf.values()).size).toBe(3);
    const perGroup = 600 / partOf.size;
    expect(perGroup).toBe({ cholesterol: 1, 'covid-ct': 4, 'bone-xray': 2 }[name]);
  });

  it('with shuffled labels has the same labels, at other records', () => {
    const labels = whole(settingsOf(name)).listing.records.map(({ label }) => label);
    const shuffled = whole(settingsOf(name, { shuffleLabels: true })).listing;
    expect(shuffled.warnings).toEqual(['labels are shuffled: there is nothing to learn']);
    const mixed = shuffled.records.map(({ label }) => label);
    expect(mixed.toSorted((a, b) => a - b)).toEqual(labels.toSorted((a, b) => a - b));
    const mean = labels.reduce((sum, label) => sum + label, 0) / labels.length;
    const product = (a: readonly number[], b: readonly number[]) =>
      a.reduce((sum, value, index) => sum + (value - mean) * (b[index]! - mean), 0);
    expect(Math.abs(product(labels, mixed) / product(labels, labels))).toBeLessThan(0.12);
  });
});

describe('synthetic images', () => {
  it('have the declared size and channels, and both classes in every part', async () => {
    const settings = settingsOf('covid-ct', { records: 1200, image: { width: 48, height: 32, channels: 3 } });
    const { data, listing } = whole(settings);
    const { dims, data: values } = await data.parts.val.load([0]);
    expect(dims).toEqual([1, 3, 32, 48]);
    expect(values.subarray(0, 1536)).toEqual(values.subarray(1536, 3072));
    const counts = manifestCounts(deal(listing, [1])[0]!);
    for (const part of parts) for (const count of counts[part]) expect(count).toBeGreaterThan(20);
  });

  it.each(['covid-ct', 'bone-xray'])('of %s hide the class from a weighted sum of pixels', async (name) => {
    const { inputs, labels } = await everything(settingsOf(name, { records: 1200 }), 'train');
    const half = Math.floor(inputs.length / 2);
    const direction = new Float64Array(4096);
    const counts = [0, 0];
    for (let row = 0; row < half; row++) counts[labels[row]!]! += 1;
    for (let row = 0; row < half; row++) {
      const weight = labels[row] === 1 ? 1 / counts[1]! : -1 / counts[0]!;
      inputs[row]!.forEach((value, pixel) => (direction[pixel]! += weight * value));
    }
    const scores = inputs
      .slice(half)
      .map((image) => image.reduce((sum, value, pixel) => sum + value * direction[pixel]!, 0));
    expect(Math.abs(auc(scores, labels.subarray(half)) - 0.5)).toBeLessThan(0.12);
  });

  it('of covid-ct show it to one small filter and a square', async () => {
    const { inputs, labels } = await everything(settingsOf('covid-ct'), 'train');
    // The alternating texture: a pixel against its four neighbours, and those against theirs across the corner.
    const scores = inputs.map((image) => {
      let energy = 0;
      for (let y = 1; y < 63; y++) {
        for (let x = 1; x < 63; x++) {
          const at = (row: number, column: number) => image[64 * (y + row) + x + column]!;
          const corners = at(-1, -1) + at(-1, 1) + at(1, -1) + at(1, 1);
          const sides = at(-1, 0) + at(1, 0) + at(0, -1) + at(0, 1);
          energy += (4 * at(0, 0) - 2 * sides + corners) ** 2;
        }
      }
      return energy;
    });
    expect(auc(scores, labels)).toBeGreaterThan(0.8);
  });
});

describe('synthetic lipid panels', () => {
  it('are plausible', async () => {
    const { inputs, labels } = await everything(settingsOf('cholesterol', { records: 5000 }), 'train');
    const ranges = [
      [20, 90],
      [0, 1],
      [130, 210],
      [30, 200],
      [80, 500],
      [15, 150],
      [10, 1500],
    ];
    for (const panel of inputs)
      ranges.forEach(([low, high], column) => {
        expect(panel[column]).toBeGreaterThanOrEqual(low!);
        expect(panel[column]).toBeLessThanOrEqual(high!);
      });
    const mean = labels.reduce((sum, label) => sum + label, 0) / labels.length;
    expect(mean).toBeGreaterThan(110);
    expect(mean).toBeLessThan(140);
    for (const label of labels) expect(label).toBeGreaterThan(20);
  });

  it('are too curved for a straight line: its error is far above the noise', async () => {
    const { inputs, labels } = await everything(settingsOf('cholesterol', { records: 3000 }), 'train');
    const rows = inputs.map((panel) => [1, ...panel]);
    const weights = leastSquares(rows, labels);
    const squares = rows.reduce(
      (sum, row, index) => sum + (row.reduce((dot, value, at) => dot + value * weights[at]!, 0) - labels[index]!) ** 2,
      0,
    );
    expect(Math.sqrt(squares / rows.length)).toBeGreaterThan(1.7 * ldlNoiseMgdl);
  });
});

/** Gaussian elimination on the normal equations. */
function leastSquares(rows: readonly (readonly number[])[], targets: ArrayLike<number>): number[] {
  const size = rows[0]!.length;
  const system = Array.from({ length: size }, (_, i) => [
    ...Array.from({ length: size }, (_unused, j) => rows.reduce((sum, row) => sum + row[i]! * row[j]!, 0)),
    rows.reduce((sum, row, index) => sum + row[i]! * targets[index]!, 0),
  ]);
  for (let pivot = 0; pivot < size; pivot++) {
    for (let row = 0; row < size; row++) {
      if (row === pivot) continue;
      const factor = system[row]![pivot]! / system[pivot]![pivot]!;
      for (let column = pivot; column <= size; column++) system[row]![column]! -= factor * system[pivot]![column]!;
    }
  }
  return system.map((row, index) => row[size]! / row[index]!);
}
