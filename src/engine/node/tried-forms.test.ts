// Lowered forms that were tried before: they are taken as they are, and only they.

import { describe, expect, test } from 'vitest';
import { conv, maxPool, type Network, relu, trainingGraph } from '../../../test/lowering/network.ts';
import { blockHere } from '../../../test/lowering/runtime.ts';
import { fetchAll, tensors } from '../../../test/lowering/tensors.ts';
import type { EngineInfo } from '../engine.ts';
import { InlineChannel } from './inline-channel.ts';
import type { GraphFile, LoweredFile, Reply, Request } from './messages.ts';
import { NodeEngine } from './node-engine.ts';
import { openEngine } from './open.ts';
import { digestOfForm, type TriedForms } from './tried-forms.ts';

const block = await blockHere();
const network: Network = { input: [3, 8, 8], layers: [conv(16), relu, maxPool] };
const graph = { ...trainingGraph(network), metadata: { records: 'independent' } };

function remembering(): TriedForms & { readonly digests: Set<string> } {
  const digests = new Set<string>();
  return { digests, has: (digest) => digests.has(digest), add: async (digest) => void digests.add(digest) };
}

describe.skipIf(block === undefined)('a lowered form (only where ONNX Runtime has blocked kernels)', () => {
  test('is kept once it has passed, and gives the same bits when it is taken untried', async () => {
    const tried = remembering();
    const run = { feeds: tensors(graph, 5), fetch: fetchAll(graph) };
    const results = [];
    for (let time = 0; time < 2; time++) {
      await using engine = await openEngine({ threads: 1, placement: 'inline', tried });
      results.push(await engine.run({ graph: await engine.load(graph), ...run }));
      expect(tried.digests.size).toBe(1);
    }
    expect(results[1]).toEqual(results[0]);
  });

  test('is tried each time unless it has passed', async () => {
    const info = { ...aboutEngine, lowering: `blocks of ${block}` };
    const asked: (boolean | undefined)[] = [];
    const tried = remembering();
    const load = async (spoilt: boolean): Promise<void> => {
      const inner = new InlineChannel({
        provider: 'cpu',
        threads: 1,
        spinning: false,
        optimization: 'all',
        bytesMax: 1e9,
      });
      const send = (request: Request): Promise<Reply> => {
        if (request.kind !== 'load') return inner.send(request);
        const { lowered } = request.file;
        asked.push(request.file.tried);
        const changed = spoilt && lowered ? { ...lowered, bytes: Uint8Array.of(1, 2, 3) } : lowered;
        return inner.send({ ...request, file: { ...request.file, lowered: changed } });
      };
      const engine = new NodeEngine(info, { send, ended: () => inner.ended() }, { block, tried });
      await engine.load(graph);
      await engine.close();
    };
    for (const spoilt of [true, true, false, false]) await load(spoilt);
    expect(asked).toEqual([false, false, false, true]);
  });
});

const aboutEngine: EngineInfo = {
  runtime: 'onnxruntime-node',
  version: '1.2.3',
  provider: 'cpu',
  threads: 1,
  workers: 1,
  lowering: 'blocks of 16',
  optimization: 'all',
};

test('whatever a trial depends on makes another digest', () => {
  const bytes = (value: number): Uint8Array<ArrayBuffer> => Uint8Array.of(value);
  const units = {
    records: 16,
    spread: false,
    inputs: ['x'],
    sums: ['s'],
    prepare: bytes(3),
    prepareInputs: [],
    rest: bytes(4),
    restInputs: [],
  };
  const form: LoweredFile = { bytes: bytes(2), recordsMultiple: 16, paddable: true, units };
  const file: GraphFile = { id: 1, name: 'step', bytes: bytes(1), inputs: [], outputs: [], optional: [] };
  const digest = digestOfForm(file, form, aboutEngine);
  expect(digestOfForm({ ...file, id: 7, name: 'other' }, structuredClone(form), { ...aboutEngine })).toBe(digest);
  const others = [
    digestOfForm({ ...file, bytes: bytes(9) }, form, aboutEngine),
    digestOfForm({ ...file, inputs: [{ name: 'x', dtype: 'float32', dims: [1] }] }, form, aboutEngine),
    digestOfForm(file, { ...form, bytes: bytes(9) }, aboutEngine),
    digestOfForm(file, { ...form, recordsMultiple: 8 }, aboutEngine),
    digestOfForm(file, { ...form, units: undefined }, aboutEngine),
    digestOfForm(file, { ...form, units: { ...units, prepare: bytes(9) } }, aboutEngine),
    digestOfForm(file, { ...form, units: { ...units, rest: bytes(9) } }, aboutEngine),
    digestOfForm(file, { ...form, units: { ...units, spread: true } }, aboutEngine),
    digestOfForm(file, form, { ...aboutEngine, version: '1.2.4' }),
    digestOfForm(file, form, { ...aboutEngine, threads: 2 }),
  ];
  expect(new Set([digest, ...others]).size).toBe(others.length + 1);
});
