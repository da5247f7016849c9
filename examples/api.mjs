// Septum from a program: a study on this machine, its model, and gradients of a graph of one's own. Run it with `node examples/api.mjs`
// (or a copy of it where the package is installed); it takes some seconds and leaves its results in a temporary folder.

import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { demoStudy, openModel, parseStudy, planOf, runStudy } from 'septum';

// A study on SYNTHETIC records, and what it means: who learns what. `readStudy('study.yaml')` reads one from a file.
const study = parseStudy(demoStudy('cholesterol', { quick: true }), 'demo.yaml');
for (const statement of planOf(study).plan.statements) console.log(statement);

// A server and three sites, each a process of its own. With real records `data` is their folder or file.
const out = join(await mkdtemp(join(tmpdir(), 'septum-api-')), 'run');
const { metrics } = await runStudy({ study, data: '', out });
console.log(`test R2 ${metrics.splits.test.overall.r2.toFixed(3)}, results in ${out}`);

// Its model: predictions without labels.
const model = await openModel(out);
const { ids, values } = await model.predict('');
console.log(`${ids[0]}: ${values[0].toFixed(1)} mg/dL`);
await model.close();

// The gradient of an ONNX graph is an ONNX graph: y = x², dy/dx = 2x.
import { differentiate, float32, GraphBuilder, openEngine } from 'septum';
const builder = new GraphBuilder('square');
const x = builder.input('x', 'float32', [3]);
const y = builder.add('Mul', [x, x]);
const gradients = differentiate(builder, new Map([[y, builder.input('seed', 'float32', [3])]]), [x]);
builder.output(gradients.get(x), 'dx');
const engine = await openEngine({ threads: 1 });
const graph = await engine.load(builder.build());
const { dx } = await engine.run({ graph, feeds: { x: float32([1, 2, 3]), seed: float32([1, 1, 1]) }, fetch: ['dx'] });
console.log(`gradient ${dx.data.join(' ')}`);
await engine.close();
