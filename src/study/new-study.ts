// Study files to start from, one for each case and method, written for the person who will change them. examples/ holds some of them.

import { type Method, presets } from '../protocol/index.ts';
import { parseStudy } from './study-file.ts';

/** The cases that examples, demos and `septum study new` share. */
export const caseNames = ['cholesterol', 'covid-ct', 'bone-xray'] as const;
export type CaseName = (typeof caseNames)[number];

/** The texts of one case. */
interface Case {
  readonly title: string;
  readonly data: string;
  readonly dataPath: string;
  readonly network: string;
  readonly training: (detached: boolean) => string;
}

const cases: Readonly<Record<CaseName, Case>> = {
  cholesterol: {
    title: 'LDL cholesterol, measured directly, from age and the lipid panel',
    dataPath: 'the folder with direct-ldl.csv, or the file itself',
    network: `  name: lipid-mlp # the first dense layer of 50 stays at the site; one input a column`,
    training: () => `  batch: 256 # records in one server step, over all sites
  epochs: 300
  learningRate: 0.01
  optimizer: { kind: adamw, weightDecay: 1 } # times the learning rate, at every step
  schedule: { kind: cosine }
  select: best-val # the epoch with the lowest validation RMSE is kept`,
    data: `  kind: table
  file: direct-ldl.csv
  columns: { id: case_id, split: split }
  inputs: # standardised with sums over all sites' training records
    - { column: age_years, unit: years, min: 0, max: 120 }
    - { column: tc_mgdl, unit: mg/dL, min: 0 }
    - { column: hdl_mgdl, unit: mg/dL, min: 0 }
    - { column: tg_mgdl, unit: mg/dL, min: 0 }
  target: { column: ldl_direct_mgdl, unit: mg/dL, min: 0 }
  missing: error # or drop the record, or mean with an indicator column`,
  },
  'covid-ct': {
    title: 'COVID-19 in chest CT slices',
    dataPath: 'the folder with labels.csv and images/',
    network: `  name: ct-cnn # the first convolution, its ReLU and its pooling stay at the site
  options: { dropout: 0.5 }`,
    training: (detached) => imageTraining(detached, { live: 40, detached: 8, passes: 5 }),
    data: `  kind: images
  labels: labels.csv
  columns: { path: path, label: label, group: case_id, split: split } # slices of one case stay together
  classes: [non-covid, covid]
  positive: covid # the class whose probability is reported
  image:
    width: 64
    height: 64
    channels: 1
    fit: stretch # slices differ in shape; pad would keep theirs
  augment: { flipHorizontal: true, flipVertical: true, shift: 0.1 } # of training images, at the site`,
  },
  'bone-xray': {
    title: 'osteoarthritis in knee radiographs',
    dataPath: 'the folder with labels.csv and images/',
    network: `  name: ct-cnn # the first convolution, its ReLU and its pooling stay at the site
  options: { dropout: 0.5 }`,
    training: (detached) => imageTraining(detached, { live: 30, detached: 8, passes: 5 }),
    data: `  kind: images
  labels: labels.csv
  columns: { path: path, label: label, group: patient_id, split: split } # a patient's knees stay together
  classes: [normal, abnormal]
  positive: abnormal # the class whose probability is reported
  image:
    width: 64
    height: 64
    channels: 1
    pixels: { mean: [0.58], sd: [0.19] } # (pixel - mean) / sd, pixels being 0 … 1
  augment: { flipHorizontal: true, shift: 0.1, brightness: 0.05 } # of training images, at the site`,
  },
};

function imageTraining(
  detached: boolean,
  settings: { readonly live: number; readonly detached: number; readonly passes: number },
): string {
  const epochs = detached
    ? `  augmentPasses: ${settings.passes} # each site uploads its training images once plain and this often varied
  epochs: ${settings.detached} # over the pool of all passes`
    : `  epochs: ${settings.live}`;
  return `  batch: 64 # records in one server step${detached ? '' : ', over all sites'}
${epochs}
  learningRate: 0.001
  optimizer: { kind: adam }
  schedule: { kind: cosine }
  select: best-val # the epoch with the highest validation AUC is kept`;
}

const queueSettings = `
  windowSteps: 4 # steps that a site may have in flight
  discipline: fair # of the batches that wait; or fifo, least-served`;

const methodComments: Readonly<Record<Method, string>> = {
  septum: 'every step takes all sites together; their segments stay equal: training as on pooled records',
  detached: 'the segment is frozen, each site uploads activations once and may leave, the server trains alone',
  queue: 'sites run ahead of the server through a queue',
  parallel: 'every step takes all sites together; each site keeps a segment of its own',
  sequential: 'the sites take turns and pass the segment on',
  'splitfed-v1': 'each site trains with its own copy of the trunk; copies and segments are averaged each round',
  'splitfed-v2': 'the sites take turns at one trunk; their segments are averaged each round',
  'splitfed-v3':
    'each site trains with its own copy of the trunk and keeps its segment; the trunks are averaged each round',
};

/** The text of a study file for a case: settings that suit the case's real data. */
export function newStudy(name: CaseName, method: Method = 'septum'): string {
  const { title, data, dataPath, network, training } = cases[name];
  const study = method === 'septum' ? name : `${name}-${method}`;
  const { when } = presets[method];
  const detached = when === 'detached';
  const text = `# ${title}, at three sites. Not for clinical use.
#
#   septum study check ${study}.yaml
#   septum run ${study}.yaml --data PATH    (${dataPath})

study: ${study}
seed: 1 # everything random follows from it

method: ${method} # ${methodComments[method]}
choices:
  labels: server # ${name === 'cholesterol' ? 'target values' : 'diagnoses'} leave with the activations${when !== 'live' ? '' : '; site: they stay, and the last layer sits at the site'}

sites:
  count: 3
  ratio: [7, 2, 1] # how \`septum run\` deals the records; real sites bring their own

network:
${network}

training:
${training(detached)}${when === 'buffered' ? queueSettings : ''}

data: # the same at every site, never inferred from one site's records
${data}

gives: # at the end
  trunkToSites: true
  segmentsToServer: false${presets[method].segments === 'private' ? '' : ' # it knows the segment anyway'}
`;
  parseStudy(text, `${study}.yaml`);
  return text;
}
