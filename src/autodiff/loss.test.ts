// Losses and their gradients against PyTorch's own numbers (test/golden/torch), through ONNX Runtime.

import { describe, expect, it } from 'vitest';
import { feedOf, readGolden, relativeDifference, type Stored } from '../../test/golden/torch/golden.ts';
import { runOnRuntime } from '../../test/interpreter/on-runtime.ts';
import { GraphBuilder, type Graph } from '../onnx/index.ts';
import { differentiate } from './differentiate.ts';
import { addLoss, type LossKind } from './loss.ts';

interface Case {
  readonly kind: LossKind;
  readonly prediction: Stored;
  readonly target: Stored;
  readonly weight: Stored;
  readonly perRecord: Stored;
  readonly total: Stored;
  readonly gradient: Stored;
}

const { losses } = readGolden<{ losses: { mean: number; stdDev: number; cases: readonly Case[] } }>('golden.json');

function lossGraph(kind: LossKind, prediction: Stored): Graph {
  const builder = new GraphBuilder('loss');
  const classes = kind === 'softmax-cross-entropy';
  builder.input('z', 'float32', ['N', ...prediction.dims.slice(1)]);
  builder.input('target', classes ? 'int64' : 'float32', ['N']);
  builder.input('weight', 'float32', ['N']);
  const scaling =
    kind === 'rmsle'
      ? { mean: builder.input('mean', 'float32', []), stdDev: builder.input('stdDev', 'float32', []) }
      : {};
  const loss = addLoss(builder, kind, { prediction: 'z', target: 'target', weight: 'weight', ...scaling });
  const fromTotal = differentiate(builder, new Map([[loss.total, builder.scalar(1)]]), ['z']);
  const fromRecords = differentiate(builder, new Map([[loss.perRecord, 'weight']]), ['z']);
  builder.output(loss.perRecord, 'perRecord');
  builder.output(loss.total, 'total');
  builder.output(fromTotal.get('z')!, 'gradient');
  builder.output(fromRecords.get('z')!, 'gradientOfRecords');
  return builder.build();
}

describe('losses are PyTorch’s, weighted, with their gradients', () => {
  it.each(losses.cases.map((each, index) => [`${each.kind}, case ${index}`, each] as const))('%s', async (_, each) => {
    const graph = lossGraph(each.kind, each.prediction);
    const scalar = (value: number) => ({ dims: [], data: Float64Array.of(value) });
    const got = await runOnRuntime(graph, {
      z: feedOf(each.prediction),
      target: feedOf(each.target),
      weight: feedOf(each.weight),
      mean: scalar(losses.mean),
      stdDev: scalar(losses.stdDev),
    });
    for (const { data } of Object.values(got)) expect(data.every(Number.isFinite)).toBe(true);
    expect(relativeDifference(got['perRecord']!.data, each.perRecord.data)).toBeLessThan(1e-6);
    expect(relativeDifference(got['total']!.data, each.total.data)).toBeLessThan(1e-6);
    expect(relativeDifference(got['gradient']!.data, each.gradient.data)).toBeLessThan(2e-6);
    expect([...got['gradientOfRecords']!.data]).toEqual([...got['gradient']!.data]);
  });

  it('rmsle without mean and stdDev is refused', () => {
    const builder = new GraphBuilder('loss');
    for (const name of ['z', 'y', 'w']) builder.input(name, 'float32', ['N']);
    expect(() => addLoss(builder, 'rmsle', { prediction: 'z', target: 'y', weight: 'w' })).toThrow(/mean and stdDev/);
  });
});
