import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../base/index.ts';
import { namedNetwork } from '../models/index.ts';
import { writeModel } from '../onnx/index.ts';
import { planHash } from '../protocol/index.ts';
import { zeros } from '../tensor/index.ts';
import { dealtSharesOf, planOf, siteSharesOf } from './planned-study.ts';
import { parseStudy, readStudy } from './study-file.ts';

const lipids = `study: lipids
choices:
  labels: server
sites:
  ratio: 7:2:1
network:
  name: lipid-mlp
training:
  batch: 32
  schedule: { kind: cosine }
data:
  kind: table
  inputs:
    - { column: tc, unit: mg/dL }
    - { column: hdl, unit: mg/dL }
    - { column: sex, kind: category, categories: [male, female] }
  target: { column: ldl, unit: mg/dL }
`;

const images = `study: ct
choices: { labels: server }
sites: { count: 2 }
network: { name: ct-cnn }
data:
  kind: images
  classes: [non-covid, covid]
  positive: covid
`;

function problemsOf(text: string, act: (text: string) => unknown = (given) => parseStudy(given, 'study.yaml')) {
  try {
    act(text);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  throw new Error('nothing is wrong with it');
}

const planProblems = (text: string) => problemsOf(text, (given) => planOf(parseStudy(given, 'study.yaml')));

describe('parseStudy', () => {
  it('fills in what is left out', () => {
    const study = parseStudy(lipids, 'study.yaml');
    expect(study).toMatchObject({
      name: 'lipids',
      seed: 1,
      method: 'septum',
      choices: { when: 'live', labels: 'server', order: 'union', trunk: 'shared', segments: 'mirrored' },
      sites: { names: ['site-1', 'site-2', 'site-3'], ratio: [7, 2, 1] },
      training: { batch: 32, epochs: 40, optimizer: { kind: 'adam', beta1: 0.9 }, schedule: { floor: 0 } },
      gives: { trunkToSites: true, segmentsToServer: false },
    });
  });

  it('lets single choices override the method', () => {
    const text = images.replace('{ labels: server }', '{ labels: site, segments: private, segmentSeed: site }');
    expect(parseStudy(text, 'study.yaml').choices).toEqual({
      when: 'live',
      labels: 'site',
      order: 'union',
      trunk: 'shared',
      segments: 'private',
      segmentSeed: 'site',
    });
    const shuffled = images.replace('choices:', 'method: splitfed-v2\nchoices:');
    expect(parseStudy(shuffled, 'study.yaml').training.turnOrder).toBe('shuffled');
  });

  it('names every problem with its line, in the order of the file', () => {
    const text = `study: my study
seed: -1
choices:
  when: alive
sites:
  cuont: 3
  ratio: [7, 2]
  count: 3
network:
  name: ct-cnn
  file: mine.onnx
training:
  batch: many
  optimizer: { kind: adm }
data:
  kind: tabel
extra: 1
`;
    expect(problemsOf(text)).toEqual([
      'study.yaml:1: study is "my study"; a name is 1 to 64 letters, digits, dots, dashes or underscores',
      'study.yaml:2: seed is -1; expected at least 0',
      'study.yaml:3: choices.labels is missing; give one of server, site',
      'study.yaml:4: choices.when is "alive"; expected one of live, buffered, detached; did you mean live?',
      'study.yaml:6: sites.cuont is not known; did you mean count?',
      'study.yaml:7: sites.ratio has 2 parts, but sites.count is 3',
      'study.yaml:11: network.file and network.name are both given: give one',
      'study.yaml:13: training.batch is "many"; expected a number',
      'study.yaml:14: training.optimizer.kind is "adm"; expected one of sgd, adam, adamw; did you mean adam?',
      'study.yaml:16: data.kind is "tabel"; expected one of images, table, synthetic; did you mean table?',
      expect.stringMatching(/^study.yaml:17: extra is not known; known are study, seed, method, /),
    ]);
  });

  it('names the combination, the network, its options and the batch in the same round as everything else', () => {
    const text = `study: all
method: detached
choices: { labels: site, wen: live }
sites: { count: 3, rato: 1 }
network:
  name: ct-cnn
  otions: {}
  options: { size: 33, colour: 2 }
training: { batch: 2 }
data:
  kind: images
  classes: [non-covid, covid]
  positive: covid
`;
    const problems = [
      expect.stringMatching(/^study.yaml:3: choices.wen is not known; did you mean when\?/),
      expect.stringMatching(/^study.yaml:3: when: detached, labels: site, .* is not allowed: /),
      'study.yaml:4: sites.rato is not known; did you mean ratio?',
      'study.yaml:7: network.otions is not known; did you mean options?',
      'study.yaml:8: network ct-cnn: size is 33; expected a multiple of 8',
      'study.yaml:8: network ct-cnn: colour is not an option; it has channels, classes, size, dropout',
    ];
    expect(problemsOf(text)).toEqual(problems);
    const live = text
      .replace('detached', 'septum')
      .replace('batch: 2', 'batsh: 9, batch: 2')
      .replace('ct-cnn', 'ct-cn');
    expect(problemsOf(live)).toEqual([
      problems[0],
      problems[2],
      expect.stringMatching(/^study.yaml:6: no network is called "ct-cn"; give one of /),
      problems[3],
      expect.stringMatching(/^study.yaml:9: training.batsh is not known; /),
      'study.yaml:9: training.batch is 2, but there are 3 sites: a step takes at least one record a site',
    ]);
  });

  it('says which keys are known although another value is wrong too', () => {
    const text = `${images.replace('labels: server', 'labels: nowhere, zzzz: 1')}  zzzz: 1
method: septumm
training: { optimizer: { kind: adam, zzzz: 1 }, select: wurst, zzzz: 1 }
zzzz: 1
`;
    expect(problemsOf(text)).toEqual([
      expect.stringMatching(/^study.yaml:2: choices.labels is "nowhere"; /),
      expect.stringMatching(/^study.yaml:2: choices.zzzz is not known; known are labels, when, /),
      expect.stringMatching(/^study.yaml:9: data.zzzz is not known; known are kind, .*classes/),
      expect.stringMatching(/^study.yaml:10: method is "septumm"; /),
      'study.yaml:11: training.optimizer.zzzz is not known; known are kind, beta1, beta2, epsilon, weightDecay',
      expect.stringMatching(/^study.yaml:11: training.select is "wurst"; /),
      expect.stringMatching(/^study.yaml:11: training.zzzz is not known; known are batch, /),
      expect.stringMatching(/^study.yaml:12: zzzz is not known; known are study, seed, method, /),
    ]);
  });

  it.each([
    [
      'sites: { count: 2 }',
      'sites: { count: 3, ratio: 7:2 }',
      'study.yaml:3: sites.ratio has 2 parts, but sites.count is 3',
    ],
    ['sites: { count: 2 }', 'sites: {}', 'study.yaml:3: sites.count is missing: say how many sites take part'],
    [
      'sites: { count: 2 }',
      'sites: { ratio: 7-2 }',
      'study.yaml:3: sites.ratio is "7-2"; expected a whole number of 1 to 1000 for each site, like [7, 2, 1] or "7:2:1"',
    ],
    ['sites: { count: 2 }', 'sites: { names: [a, a] }', 'study.yaml:3: sites.names names a site twice'],
    [
      'sites: { count: 2 }',
      'sites: { count: 2, names: [a] }',
      'study.yaml:3: sites.names has 1 names, but there are 2 sites',
    ],
    [
      '{ name: ct-cnn }',
      '{ file: a.onnx, start: b.onnx, cut: c }',
      'study.yaml:4: network.start is for named networks; a file brings its own weights',
    ],
    [
      'labels: server }\nsites: { count: 2 }\nnetwork: { name: ct-cnn }',
      'labels: server, segments: private, segmentSeed: site }\nsites: { count: 2 }\nnetwork: { name: ct-cnn, start: a.onnx }',
      'study.yaml:2: choices.segmentSeed is site, but the segment starts from a file, which is no secret of a site',
    ],
    ['{ name: ct-cnn }', '{ name: mine.onnx }', 'study.yaml:4: network.name is a path: write it as file: mine.onnx'],
    [
      '{ name: ct-cnn }',
      '{ cut: conv1 }',
      'study.yaml:4: network.name is missing: name a network, or give the file of one',
    ],
    [
      'positive: covid',
      'positive: covd',
      'study.yaml:8: data.positive is covd, which is none of the classes non-covid, covid',
    ],
    ['positive: covid', 'positive: covid\n  imgae: {}', 'study.yaml:9: data.imgae is not known; did you mean image?'],
    [
      'positive: covid',
      'positive: covid\ntraining: { augmentPasses: 3 }',
      'study.yaml:9: training.augmentPasses is for when: detached; with when: live every epoch varies its images',
    ],
    [
      'positive: covid',
      'positive: covid\ntraining: { turnSteps: 3 }',
      'study.yaml:9: training.turnSteps is for order: turns, but order is union',
    ],
    [
      'positive: covid',
      'positive: covid\ntraining: { windowSteps: 3 }',
      'study.yaml:9: training.windowSteps is for when: buffered, but when is live',
    ],
    [
      'positive: covid',
      'positive: covid\ntraining: { discipline: fifo }',
      'study.yaml:9: training.discipline is for order: arrival, but order is union',
    ],
    [
      'choices: {',
      'method: detached\ntraining: { augmentPasses: 3 }\nchoices: {',
      'study.yaml:3: training.augmentPasses is 3, but data.augment varies nothing: every pass would be alike',
    ],
    [
      'positive: covid',
      'positive: covid\ntask: { threshold: 2 }',
      'study.yaml:9: task.threshold is 2; expected less than 1',
    ],
    [
      '[non-covid, covid]',
      '[0, 1]',
      'study.yaml:7: data.classes[0] is 0; expected text (put a number or true/false in quotes)',
    ],
    [
      'labels: server',
      'labels: server, segments: relay',
      'study.yaml:2: when: live, labels: server, order: union, trunk: shared, segments: relay, segmentSeed: study is not allowed: segments: relay passes the segment on at the end of a turn',
    ],
    ['kind: images', 'kind: images\n  kind: images', 'study.yaml:7: Map keys must be unique'],
  ])('%s → %s', (from, to, problem) => {
    expect(problemsOf(images.replace(from, to))).toContainEqual(expect.stringContaining(problem));
  });

  it('refuses a text that has no sections', () => {
    expect(problemsOf('just words')).toEqual([
      'study.yaml: is not a study file: expected sections such as study, sites and data',
    ]);
    expect(problemsOf('')).toHaveLength(1);
  });
});

describe('planOf', () => {
  it('takes the inputs of a network from the data', () => {
    const { plan } = planOf(parseStudy(lipids, 'study.yaml'));
    expect(plan.network).toMatchObject({ inputDims: [3], options: { inputs: 3 }, loss: 'mse', outputDims: [1] });
    expect(plan.standardisedColumns).toBe(3);
    expect(plan.task).toEqual({ kind: 'regression', target: 'ldl', unit: 'mg/dL' });
    const three = images
      .replace('[non-covid, covid]', '[a, b, c]')
      .replace('positive: covid', 'image: { channels: 3 }');
    expect(planOf(parseStudy(three, 'study.yaml')).plan.network).toMatchObject({
      inputDims: [3, 64, 64],
      outputDims: [3],
    });
  });

  it('gives both sides the same hash, and another study another', () => {
    const hash = (text: string, overrides = {}) => planHash(planOf(parseStudy(text, 'study.yaml'), overrides).plan);
    expect(hash(lipids)).toBe(hash(`# said differently\n${lipids.replace('7:2:1', '[7, 2, 1]')}`));
    expect(hash(lipids)).toBe(hash(lipids, { ratio: [1, 1, 1] }));
    expect(hash(lipids)).not.toBe(hash(lipids, { seed: 2 }));
    expect(hash(lipids)).not.toBe(hash(lipids.replace('batch: 32', 'batch: 33')));
    expect(hash(lipids)).not.toBe(
      hash(lipids.replace('unit: mg/dL }\n    - { column: hdl', 'unit: mmol/L }\n    - { column: hdl')),
    );
  });

  it('says what does not fit together, at its line', () => {
    expect(planProblems(images.replace('{ name: ct-cnn }', '{ name: ct-cn }'))).toEqual([
      expect.stringMatching(/^study.yaml:4: no network is called "ct-cn"; give one of lipid-mlp/),
    ]);
    expect(planProblems(images.replace('ct-cnn', 'ct-cnn, options: { size: 32 }'))).toEqual([
      'study.yaml:4: network takes [1, 32, 32], but the data give [1, 64, 64]',
    ]);
    expect(planProblems(images.replace('ct-cnn', 'ct-cnn, options: { classes: 3 }'))).toEqual([
      expect.stringContaining(
        'study.yaml:4: ct-cnn puts out [N, 3], but loss softmax-cross-entropy with 2 classes needs',
      ),
    ]);
    expect(planProblems(lipids.replace('batch: 32', 'batch: 2'))).toEqual([
      'study.yaml:9: training.batch is 2, but there are 3 sites: a step takes at least one record a site',
    ]);
  });

  it('overrides sites as the command line says', () => {
    const study = parseStudy(lipids, 'study.yaml');
    expect(siteSharesOf(study, { siteCount: 1 })).toEqual({ names: ['site-1'], ratio: [1] });
    expect(siteSharesOf(study, { ratio: [3, 1] })).toEqual({ names: ['site-1', 'site-2'], ratio: [3, 1] });
    expect(siteSharesOf(study, { siteNames: ['a', 'b', 'c'] })).toEqual({ names: ['a', 'b', 'c'], ratio: [7, 2, 1] });
    expect(() => dealtSharesOf(study, { siteCount: 2 })).toThrow(
      '--sites 2: study.yaml:5: sites.ratio 7:2:1 is for 3 sites; add --ratio with 2 shares, 1:1 for equal ones',
    );
    expect(dealtSharesOf(study, { siteCount: 1 }).ratio).toEqual([1]);
    expect(dealtSharesOf(study, { siteCount: 1, ratio: [1] }).ratio).toEqual([1]);
    expect(dealtSharesOf(study, { siteCount: 3 }).ratio).toEqual([7, 2, 1]);
    expect(dealtSharesOf(study, { siteCount: 2, ratio: [3, 1] }).ratio).toEqual([3, 1]);
    const equal = parseStudy(lipids.replace('ratio: 7:2:1', 'count: 3'), 'study.yaml');
    expect(dealtSharesOf(equal, { siteCount: 2 }).ratio).toEqual([1, 1]);
    expect(() => siteSharesOf(study, { siteCount: 2, ratio: [1, 1, 1] })).toThrow(
      /--ratio 1:1:1 has 3 parts, but there are 2 sites/,
    );
  });
});

describe('readStudy', () => {
  it('reads the model file that a study names, and lists where it can be cut', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'septum-study-'));
    try {
      const network = namedNetwork('ct-cnn', {});
      const graph = {
        ...network.graph,
        inputs: network.graph.inputs.slice(0, 1),
        initializers: new Map([
          ...network.graph.initializers,
          ...network.parameters.map(({ name, dims }) => [name, zeros('float32', dims)] as const),
        ]),
      };
      await writeFile(join(folder, 'mine.onnx'), writeModel(graph));
      const path = join(folder, 'study.yaml');
      await writeFile(path, images.replace('name: ct-cnn', 'file: mine.onnx, cut: conv1.pool'));
      const { plan } = planOf(await readStudy(path));
      expect(plan.network).toMatchObject({
        name: 'mine',
        cut: 'conv1.pool',
        cutDims: [16, 32, 32],
        loss: 'softmax-cross-entropy',
      });
      expect(plan.network.file).toMatch(/^[0-9a-f]{64}$/);
      await writeFile(path, images.replace('name: ct-cnn', 'file: mine.onnx'));
      const uncut = await readStudy(path);
      expect(() => planOf(uncut)).toThrow(/study.yaml:4: .*it can at conv1, conv1.relu, conv1.pool, conv2/);
      const parameters = (text: string) => parseStudy(text, path);
      expect(() => planOf(parameters(images.replace('name: ct-cnn', 'file: mine.onnx')))).toThrow(/was not read/);
      await writeFile(path, images.replace('name: ct-cnn', 'name: ct-cnn, start: mine.onnx'));
      const started = planOf(await readStudy(path));
      expect(started.plan.network).toMatchObject({ name: 'ct-cnn', start: plan.network.file });
      expect(started.plan.statements.join()).not.toContain('study seed');
      expect(started.study.parts.segment.parameters[0]!.init).toMatchObject({ kind: 'value' });
      await writeFile(path, images.replace('name: ct-cnn', 'name: ct-cnn, options: { classes: 1 }, start: mine.onnx'));
      const misfit = await readStudy(path);
      expect(() => planOf(misfit)).toThrow(/study.yaml:4: .*cannot start from .*fc2.weight is float32 \[2, 128\]/);
      await writeFile(path, images.replace('name: ct-cnn', 'file: other.onnx'));
      await expect(readStudy(path)).rejects.toThrow(/study.yaml:4: network.file: cannot be read/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
