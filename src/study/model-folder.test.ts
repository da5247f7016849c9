import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ort from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runInMemory, type StudyOutcome } from '../../test/harness/study.ts';
import { listRecords, openSiteData, openUnlabelled } from '../data/node/index.ts';
import type { Engine } from '../engine/index.ts';
import { openEngine } from '../engine/node/index.ts';
import type { Tensor } from '../tensor/index.ts';
import { type Dealing, dealStudy } from './dealing.ts';
import { evaluateModel } from './evaluate.ts';
import { metricsOfRun } from './metrics-file.ts';
import { modelOf, readModelFolder, writeModelFolder } from './model-folder.ts';
import { planOf, siteSharesOf } from './planned-study.ts';
import { predictCsv } from './predict.ts';
import { predictWith, RunningModel } from './running-model.ts';
import { parseStudy, type Study } from './study-file.ts';

// age is 1900 ± 40, so that its mean is far above its spread; bmi is missing in every fifth row.
const rows = Array.from({ length: 120 }, (_, row) => {
  const age = 1880 + ((row * 37) % 41);
  const bmi = row % 5 === 3 ? NaN : 18 + ((row * 13) % 20);
  const diet = ['meat', 'fish', 'plants'][row % 3]!;
  const ldl = 80 + (age - 1900) + 2 * (Number.isNaN(bmi) ? 25 : bmi) + (diet === 'plants' ? -20 : 0);
  return { id: `person, ${row}`, age, bmi, diet, ldl, split: ['train', 'train', 'train', 'val', 'test'][row % 5]! };
});
const csv = `id,age,bmi,diet,ldl,split\n${rows
  .map(({ id, age, bmi, diet, ldl, split }) => `"${id}",${age},${Number.isNaN(bmi) ? '' : bmi},${diet},${ldl},${split}`)
  .join('\n')}\n`;
/** The network's columns before standardisation: age, age's indicator, bmi, bmi's indicator, three of diet and its indicator. */
const rawRows = Float32Array.from(
  rows.flatMap(({ age, bmi, diet }) => [
    age,
    0,
    bmi,
    Number.isNaN(bmi) ? 1 : 0,
    ...['meat', 'fish', 'plants'].map((name) => (name === diet ? 1 : 0)),
    0,
  ]),
);

const tableStudy = `study: table
choices: { labels: server }
sites: { ratio: [2, 1] }
network: { name: lipid-mlp }
training: { batch: 16, epochs: 3, learningRate: 0.01 }
data:
  kind: table
  file: people.csv
  columns: { id: id, split: split }
  inputs:
    - { column: age, unit: years }
    - { column: bmi, unit: kg/m2 }
    - { column: diet, kind: category, categories: [meat, fish, plants] }
  target: { column: ldl, unit: mg/dL }
  missing: mean
  minCount: 1
`;
const imageStudy = `study: image
choices: { labels: server }
sites: { ratio: [2, 1] }
network: { name: ct-cnn }
training: { batch: 16, epochs: 1, classWeights: balanced }
data:
  kind: synthetic
  case: covid-ct
  records: 90
  image: { width: 16, height: 16, pixels: { mean: [0.4], sd: [0.3] } }
  minCount: 1
`;

interface Trained {
  readonly study: Study;
  readonly out: string;
  readonly outcome: StudyOutcome;
  readonly dealing: Dealing;
}

let folder = '';
let engine: Engine;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'septum-model-'));
  await writeFile(join(folder, 'people.csv'), csv);
  engine = await openEngine({ placement: 'inline', threads: 1 });
});
afterAll(async () => {
  await engine.close();
  await rm(folder, { recursive: true });
});

async function train(name: string, text: string): Promise<Trained> {
  const study = parseStudy(text, 'study.yaml');
  const planned = planOf(study);
  const listing = await listRecords(study.data, folder, { seed: study.seed });
  const { dealing, manifests } = dealStudy(listing, siteSharesOf(study));
  const data = await Promise.all(manifests.map((manifest) => openSiteData(study.data, folder, manifest)));
  const outcome = await runInMemory({ ...planned, data });
  const { plan } = planned;
  const own = outcome.sites.map((site, index) => [plan.sites[index] ?? '', site.segment] as const);
  const out = join(folder, name);
  await writeModelFolder(out, {
    ...planned,
    trunk: outcome.server.trunk,
    segments: plan.choices.segments === 'private' ? Object.fromEntries(own) : outcome.server.segments,
    standardisation: outcome.server.standardisation,
    classCounts: outcome.server.classCounts,
    dealing,
    versions: { septum: '0' },
  });
  return { study, out, outcome, dealing };
}

/** What joined.onnx gives in plain ONNX Runtime. */
async function joined(path: string, x: Tensor<'float32'>): Promise<number[]> {
  const session = await ort.InferenceSession.create(join(path, 'joined.onnx'));
  const results = await session.run({ x: new ort.Tensor('float32', x.data, x.dims) });
  await session.release();
  const { data, dims } = Object.values(results)[0]!;
  expect(dims[0]).toBe(x.dims[0]);
  return Array.from(data as Float32Array);
}

async function predicted({ study, out }: Trained, site?: string): Promise<Float64Array> {
  const model = await RunningModel.load(await modelOf(await readModelFolder(out), site), engine);
  const data = await openUnlabelled(study.data, folder);
  data.setStandardisation(model.description.standardisation);
  try {
    return await predictWith(model, data.records);
  } finally {
    await data.close();
    await model.close();
  }
}

function expectAlike(got: ArrayLike<number>, expected: ArrayLike<number>): void {
  expect(got.length).toBe(expected.length);
  const worst = Array.from(got).reduce(
    (most, value, index) => Math.max(most, Math.abs(value - expected[index]!) / Math.abs(expected[index]!)),
    0,
  );
  expect(worst).toBeLessThan(1e-5);
}

/** Pixels of 0 … 1 of every synthetic image. */
async function pixels({ study }: Trained): Promise<Tensor<'float32'>> {
  if (study.data.kind !== 'synthetic') throw new Error('images are synthetic here');
  const { pixels: _, ...image } = study.data.image;
  const data = await openUnlabelled({ ...study.data, image }, '');
  const all = await data.records.load(Array.from({ length: data.records.count }, (__, row) => row));
  await data.close();
  return all;
}

describe('joined.onnx in plain ONNX Runtime gives what septum predict gives', () => {
  it('from raw columns, with missing numbers and categories', async () => {
    const trained = await train('table', tableStudy);
    const x = { dtype: 'float32', dims: [rows.length, 8], data: rawRows } as const;
    const values = await joined(trained.out, x);
    expectAlike(values, await predicted(trained));
    expect(Math.max(...values) - Math.min(...values)).toBeGreaterThan(5);
    // The indicator follows from the missing number itself.
    const unmarked = rawRows.slice().map((value, index) => (index % 8 === 3 ? 0 : value));
    expect(await joined(trained.out, { ...x, data: unmarked })).toEqual(values);
  });

  it('with rmsle, whose prediction is never below zero', async () => {
    const trained = await train('rmsle', tableStudy.replace('lipid-mlp', 'lipid-mlp, loss: rmsle'));
    const x = { dtype: 'float32', dims: [rows.length, 8], data: rawRows } as const;
    expectAlike(await joined(trained.out, x), await predicted(trained));
  });

  it('from pixels, with two logits, and with one logit for the first class', async () => {
    const trained = await train('softmax', imageStudy);
    expectAlike(await joined(trained.out, await pixels(trained)), await predicted(trained));
    const one = await train('sigmoid', imageStudy.replace('ct-cnn', 'ct-cnn, options: { classes: 1 }'));
    const probabilities = await joined(one.out, await pixels(one));
    expectAlike(probabilities, await predicted(one));
    expect(probabilities[0]! + probabilities[1]!).toBeCloseTo(1, 6);
  });

  it('with the head at the sites, and with a segment of each site’s own', async () => {
    const head = await train('head', imageStudy.replace('labels: server', 'labels: site'));
    await access(join(head.out, 'head.onnx'));
    expectAlike(await joined(head.out, await pixels(head)), await predicted(head));
    const own = await train('own', imageStudy.replace('labels: server', 'labels: server, segments: private'));
    const ofSites: Float64Array[] = [];
    for (const site of ['site-1', 'site-2']) {
      ofSites.push(await predicted(own, site));
      expectAlike(await joined(join(own.out, site), await pixels(own)), ofSites.at(-1)!);
    }
    expect(ofSites[0]).not.toEqual(ofSites[1]);
  });
});

describe('evaluateModel', () => {
  it.each([
    ['a table', tableStudy],
    [
      'images, class weights, a segment of each site’s own',
      imageStudy.replace('server }', 'server, segments: private }'),
    ],
  ])('on the run’s own data gives the run’s own figures: %s', async (name, text) => {
    const trained = await train(`evaluate ${name.length}`, text);
    const run = metricsOfRun(planOf(trained.study).plan, trained.outcome.server);
    const model = await readModelFolder(trained.out);
    const { metrics } = await evaluateModel({ model, engine, dataPath: folder, parts: ['test', 'val'] });
    expect(Object.keys(metrics.splits.test!.sites)).toEqual(['site-1', 'site-2']);
    const flat = (value: unknown): number[] =>
      typeof value === 'number'
        ? [value]
        : value && typeof value === 'object'
          ? Object.values(value).flatMap(flat)
          : [];
    expect(Object.keys(run)).toEqual(Object.keys(metrics));
    const [got, expected] = [flat(metrics.splits), flat(run.splits)];
    expect(got.length).toBeGreaterThan(20);
    expect(got.length).toBe(expected.length);
    got.forEach((value, index) => expect(value).toBeCloseTo(expected[index]!, 5));
  });

  it('on other data is of no site, and asks whose model it is where each site has its own', async () => {
    const trained = await train('other', imageStudy.replace('labels: server', 'labels: server, segments: private'));
    const model = await readModelFolder(trained.out);
    const other = {
      ...model,
      description: { ...model.description, data: { ...model.description.data, records: 60 } },
    };
    const options = { model: other, engine, dataPath: '', parts: ['test'] as const };
    await expect(evaluateModel(options)).rejects.toThrow(/name one with --site \(site-1, site-2\)/);
    const { metrics } = await evaluateModel({ ...options, site: 'site-2' });
    expect(metrics.splits.test!.sites).toEqual({});
    expect(metrics.splits.test!.overall.n).toBeGreaterThan(3);
    await expect(evaluateModel({ ...options, site: 'site-3' })).rejects.toThrow(/--site site-3 is none of the sites/);
  });
});

describe('predictCsv', () => {
  it('writes ids in the data’s order, quoted where they must be, and the unit in the header', async () => {
    const trained = await train('csv', tableStudy);
    const { csv: text, count } = await predictCsv({
      model: await readModelFolder(trained.out),
      engine,
      dataPath: folder,
    });
    const lines = text.split('\r\n');
    expect(count).toBe(120);
    expect(lines).toHaveLength(122);
    expect(lines[0]).toBe('id,ldl (mg/dL)');
    expect(lines.slice(1, 121).map((line) => line.slice(0, line.lastIndexOf(',')))).toEqual(
      rows.map(({ id }) => `"${id}"`),
    );
    expect(lines.slice(1, 121).map((line) => Number(line.slice(line.lastIndexOf(',') + 1)))).toEqual(
      Array.from(await predicted(trained)),
    );
  });

  it('writes a probability for each class and the class', async () => {
    const trained = await train('classes', imageStudy);
    const { csv: text } = await predictCsv({ model: await readModelFolder(trained.out), engine, dataPath: '' });
    const [header, first] = text.split('\r\n');
    expect(header).toBe('path,p(non-covid),p(covid),class');
    const [id, non = '', covid = '', name] = first!.split(',');
    expect(id).toBe('synthetic-covid-ct-0');
    expect(Number(non) + Number(covid)).toBeCloseTo(1, 12);
    expect(name).toBe(Number(covid) >= 0.5 ? 'covid' : 'non-covid');
  });
});

describe('readModelFolder', () => {
  it('also takes the run’s folder, and says what is wrong with a model.json', async () => {
    const trained = await train('model', tableStudy);
    expect((await readModelFolder(trained.out)).description).toMatchObject({
      study: 'table',
      method: 'septum',
      target: { mean: expect.any(Number) as number },
      dealing: { ratio: [2, 1], counts: { 'site-1': { train: [48] } } },
    });
    await expect(readModelFolder(join(folder, 'nowhere'))).rejects.toThrow(/holds no model.json/);
    const path = join(trained.out, 'model.json');
    const description = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
    await writeFile(path, JSON.stringify({ ...description, loss: 'hinge', seed: 'one' }));
    await expect(readModelFolder(trained.out)).rejects.toThrow(/model.json: seed: .*\n.*model.json: loss/);
  });
});
