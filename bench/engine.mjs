// What the engine itself costs: the hop to its thread for a small network, and moving and keeping large tensors.
// Run after a build: node bench/engine.mjs. The large cases run in child processes, with and without the allocator's settings.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { allocatorEnvironment, openEngine } from '../dist/engine/node/index.js';
import { GraphBuilder } from '../dist/onnx/index.js';
import { elementCount, tensor } from '../dist/tensor/index.js';

const filled = (dims) => tensor('float32', dims, new Float32Array(elementCount(dims)).fill(0.01));

async function medianMs(repeats, step) {
  const times = [];
  for (let index = 0; index < repeats; index++) {
    const start = performance.now();
    await step();
    if (index >= repeats / 10) times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[times.length >> 1];
}

/** A stack of dense layers with a decay of all parameters: as many tensors in and out as a training step of it has. */
function denseStack() {
  const builder = new GraphBuilder('dense-stack');
  let value = builder.input('x', 'float32', ['N', 8]);
  const parameters = {};
  for (const [index, [from, to]] of Object.entries([
    [8, 64],
    [64, 64],
    [64, 1],
  ])) {
    parameters[`w${index}`] = [from, to];
    parameters[`b${index}`] = [to];
    const weight = builder.input(`w${index}`, 'float32', [from, to]);
    const bias = builder.input(`b${index}`, 'float32', [to]);
    value = builder.add('Relu', [builder.add('Add', [builder.add('MatMul', [value, weight]), bias])]);
    for (const name of [weight, bias])
      builder.output(builder.add('Mul', [name, builder.scalar(0.999)]), `next_${name}`);
  }
  builder.output(value, 'y');
  return { graph: builder.build(), parameters };
}

async function hop() {
  for (const placement of ['inline', 'worker']) {
    const engine = await openEngine({ threads: 1, placement });
    const { graph: built, parameters } = denseStack();
    const graph = await engine.load(built);
    await engine.put(Object.fromEntries(Object.entries(parameters).map(([name, dims]) => [name, filled(dims)])));
    const names = Object.keys(parameters);
    const run = {
      graph,
      feeds: { x: filled([64, 8]) },
      resident: Object.fromEntries(names.map((name) => [name, name])),
      keep: Object.fromEntries(names.map((name) => [`next_${name}`, name])),
      fetch: ['y'],
    };
    const one = await medianMs(5000, () => engine.run(run));
    const ten = await medianMs(500, () => engine.runAll(Array.from({ length: 10 }, () => run)));
    console.log(`dense stack 8-64-64-1, batch 64, ${placement}: ${us(one)} a run, ${us(ten / 10)} in runs of ten`);
    await engine.close();
  }
}

const us = (ms) => `${(ms * 1000).toFixed(0)} us`;

/** p - gradient for 16 tensors of 1.25 million elements, and 2 MB fed and fetched. */
async function large(placement) {
  const length = 1_250_000;
  const builder = new GraphBuilder('update');
  const gradient = builder.input('gradient', 'float32', [length]);
  const names = Array.from({ length: 16 }, (_, index) => `p${index}`);
  for (const name of names)
    builder.output(builder.add('Sub', [builder.input(name, 'float32', [length]), gradient]), `next_${name}`);
  const mirror = new GraphBuilder('mirror');
  mirror.output(mirror.add('Neg', [mirror.input('x', 'float32', ['N'])]), 'y');

  const engine = await openEngine({ placement });
  const update = await engine.load(builder.build());
  await engine.put({
    ...Object.fromEntries(names.map((name) => [name, filled([length])])),
    gradient: filled([length]),
  });
  const resident = { ...Object.fromEntries(names.map((name) => [name, name])), gradient: 'gradient' };
  const keep = Object.fromEntries(names.map((name) => [`next_${name}`, name]));
  const updating = await medianMs(40, () => engine.run({ graph: update, resident, keep }));
  const graph = await engine.load(mirror.build());
  const x = filled([524_288]);
  const moving = await medianMs(200, () => engine.run({ graph, feeds: { x }, fetch: ['y'] }));
  const peakMb = Math.round(process.resourceUsage().maxRSS / 1024);
  console.log(
    `80 MB of parameters: ${updating.toFixed(1)} ms; 2 MB up and down: ${moving.toFixed(2)} ms; peak ${peakMb} MB`,
  );
  await engine.close();
}

const [placement] = process.argv.slice(2);
if (placement) await large(placement);
else {
  await hop();
  for (const environment of [{}, allocatorEnvironment])
    for (const where of ['worker', 'inline']) {
      process.stdout.write(`${where}, allocator ${environment === allocatorEnvironment ? 'set' : 'left alone'}: `);
      spawnSync(process.execPath, [fileURLToPath(import.meta.url), where], {
        stdio: 'inherit',
        env: { ...process.env, ...environment },
      });
    }
}
