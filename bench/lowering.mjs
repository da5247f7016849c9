// What a lowering gives: a network's trunk step on one engine, under the lowerings named, one after the other in turns.
//
//   node bench/lowering.mjs [--network vgg19-64] [--records 96] [--threads 2] [--steps 4] [--rounds 3] [--lowerings auto,direct,none]
//
// Each turn is a process of its own, so that its peak memory is its own: `--lowerings` names `auto`, `direct` (no Winograd) and `none`.

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { allocatorEnvironment, openEngine } from '../dist/engine/node/index.js';
import { namedNetwork } from '../dist/models/index.js';
import { bindingsOf, compileStudy, initialState } from '../dist/split/index.js';
import { elementCount, float32, tensor } from '../dist/tensor/index.js';

const { values } = parseArgs({
  options: {
    network: { type: 'string', default: 'vgg19-64' },
    records: { type: 'string', default: '96' },
    threads: { type: 'string', default: '2' },
    steps: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '3' },
    lowerings: { type: 'string', default: 'auto,direct,none' },
    turn: { type: 'string' },
  },
});
const numbers = (length, at) => Float32Array.from({ length }, (_, index) => Math.sin(index * 12.9898 + at));

/** One lowering's steps in this process: milliseconds of each, what ran, and the peak memory. */
async function turn(lowering) {
  const options = values.network === 'ct-cnn' ? { size: 64, dropout: 0 } : {};
  const network = namedNetwork(values.network, options);
  const classes = network.graph.outputs[0].dims.at(-1) === 2;
  const study = compileStudy({
    network,
    choices: { labels: 'server', when: 'live', order: 'union', trunk: 'shared', segments: 'private' },
    loss: classes ? 'softmax-cross-entropy' : 'binary-cross-entropy',
    task: { kind: 'classification', classes: ['no', 'yes'], positive: 'yes' },
    optimizer: { kind: 'sgd', momentum: 0.9, nesterov: false, weightDecay: 0 },
  });
  const step = study.graphs['trunk-step'];
  const refusals = [];
  const engine = await openEngine({
    threads: Number(values.threads),
    lowering: lowering === 'none' ? 'none' : 'auto',
    convolution: lowering === 'direct' ? 'direct' : 'auto',
    onRefusal: (_, reason) => refusals.push(reason),
  });
  const graph = await engine.load(step);
  await engine.put(initialState(study.parts.trunk, 1));
  const records = Number(values.records);
  const { resident, keep } = bindingsOf(step);
  const run = {
    graph,
    feeds: {
      cut: tensor('float32', [records, ...study.cutDims], numbers(records * elementCount(study.cutDims), 0)),
      labels: tensor(
        'int32',
        [records],
        Int32Array.from({ length: records }, (_, record) => record % 2),
      ),
      weight: float32(Array.from({ length: records }, () => 1 / records)),
      hyper: float32([0.001, 1, 1, 1]),
    },
    resident,
    keep,
    fetch: ['loss', 'cut.gradient'],
  };
  const times = [];
  let loss = 0;
  for (let at = 0; at <= Number(values.steps); at++) {
    const start = performance.now();
    const result = await engine.run(run);
    if (at > 0) times.push(performance.now() - start);
    loss = result.loss.data.reduce((sum, one) => sum + one, 0) / records;
  }
  const peakMb = Math.round(process.resourceUsage().maxRSS / 1024);
  await engine.close();
  return { times, ran: engine.info.lowering, refusals, peakMb, loss };
}

if (values.turn) {
  process.stdout.write(JSON.stringify(await turn(values.turn)));
} else {
  const lowerings = values.lowerings.split(',');
  const best = Object.fromEntries(lowerings.map((name) => [name, []]));
  const script = fileURLToPath(import.meta.url);
  for (let round = 0; round < Number(values.rounds); round++)
    for (const name of lowerings) {
      const words = [script, '--turn', name, ...process.argv.slice(2)];
      const env = { ...process.env, ...allocatorEnvironment };
      const { times, ran, refusals, peakMb, loss } = JSON.parse(
        execFileSync(process.execPath, words, { env, encoding: 'utf8' }),
      );
      const sorted = times.toSorted((a, b) => a - b);
      best[name].push(sorted[0]);
      const middle = sorted[sorted.length >> 1];
      console.log(
        `${name.padEnd(6)} ${sorted[0].toFixed(0)} ms at best, ${middle.toFixed(0)} in the middle; ${ran}; peak ${peakMb} MB; loss ${loss.toFixed(5)}${refusals.length ? `; refused: ${refusals.join()}` : ''}`,
      );
    }
  for (const name of lowerings) console.log(`${name.padEnd(6)} best of all ${Math.min(...best[name]).toFixed(0)} ms`);
}
