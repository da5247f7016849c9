// Which convolutions are computed in the transformed domain, and in chunks of how many records.

import {
  type Dim,
  type Graph,
  type Hint,
  intAttribute,
  intsAttribute,
  type Node,
  textAttribute,
  type ValueType,
} from '../../onnx/index.ts';
import { tile } from './transforms.ts';

/** A kernel of 3 x 3: its weights [out, in, 3, 3], or what they are when they are turned and their channels exchanged. */
export interface Kernel {
  readonly weights: string;
  readonly turned: boolean;
}

/** A convolution that is computed in the transformed domain. */
export interface WinogradConv {
  readonly node: Node;
  readonly x: string;
  readonly kernel: Kernel;
  readonly bias: string | undefined;
  readonly channels: number;
  readonly out: number;
  readonly height: number;
  readonly width: number;
  readonly chunk: number | undefined;
}

/** Channels from which fewer multiplications outweigh the transforms, on the wider side of the convolution. */
const channelsMin = 64;

/** Pixels in a chunk: its transformed values fit the caches, and its matrix products are tall enough. */
const chunkPixels = 8192;
/** A chunk of more records than this is not worth its padding: all records are taken at once. */
const chunkMax = 16;

/** Records in a chunk for images of this size; undefined for all at once. A power of two. */
export function chunkOf(records: Dim, height: number, width: number): number | undefined {
  let chunk = 2 ** Math.max(0, Math.round(Math.log2(chunkPixels / (height * width))));
  if (chunk > 2 * chunkMax) return undefined;
  chunk = Math.min(chunk, chunkMax);
  if (typeof records === 'number') while (records % chunk !== 0) chunk /= 2;
  return chunk;
}

function worthwhile(x: readonly Dim[] | undefined, y: readonly Dim[] | undefined): boolean {
  const [, channels, height, width] = x ?? [];
  const [, out, outHeight, outWidth] = y ?? [];
  if (![channels, out, height, width].every((dim) => typeof dim === 'number')) return false;
  if (height !== outHeight || width !== outWidth) return false;
  if (Number(height) % tile !== 0 || Number(width) % tile !== 0) return false;
  return Math.max(Number(channels), Number(out)) >= channelsMin;
}

function isPlain(node: Pick<Node, 'attributes'>): boolean {
  const all = (name: string, usual: number): boolean =>
    intsAttribute(node as Node, name, []).every((value) => value === usual);
  return (
    intAttribute(node as Node, 'group', 1) === 1 &&
    all('strides', 1) &&
    all('dilations', 1) &&
    intsAttribute(node as Node, 'pads', []).join() === '1,1,1,1' &&
    textAttribute(node as Node, 'auto_pad', 'NOTSET') === 'NOTSET'
  );
}

/** The convolution as it is computed here; undefined where it is not 3 x 3 of stride 1 and pad 1, or too thin. */
export function winogradConv(
  node: Node,
  types: ReadonlyMap<string, ValueType>,
  kernelOf: (weights: string) => Kernel,
): WinogradConv | undefined {
  const [x = '', w = '', bias = ''] = node.inputs;
  const dims = types.get(x)?.dims;
  if (node.op !== 'Conv' || node.domain !== '' || types.get(x)?.dtype !== 'float32' || !isPlain(node)) return undefined;
  if (types.get(w)?.dims.slice(2).join() !== '3,3' || dims?.length !== 4) return undefined;
  if (!worthwhile(dims, types.get(node.outputs[0] ?? '')?.dims)) return undefined;
  const [records, channels, height, width] = dims as readonly [Dim, number, number, number];
  const out = types.get(w)?.dims[0] as number;
  const chunk = chunkOf(records, height, width);
  return { node, x, kernel: kernelOf(w), bias: bias === '' ? undefined : bias, channels, out, height, width, chunk };
}

/** Whether a weight's gradient is computed here. */
export function takesWeightGradient({ inputs, attributes }: Hint, types: ReadonlyMap<string, ValueType>): boolean {
  const [x, dy] = inputs.map((input) => types.get(input));
  return (
    x?.dtype === 'float32' &&
    isPlain({ attributes }) &&
    intsAttribute({ attributes } as Node, 'kernel_shape', []).join() === '3,3' &&
    worthwhile(x.dims, dy?.dims)
  );
}

/** Finds what a Conv's weights are made from: of a gradient's, which are turned and have their channels exchanged, the weights themselves. */
export function kernels(graph: Graph): (weights: string) => Kernel {
  const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  const numbersOf = (value = ''): string => Array.from(graph.initializers.get(value)?.data ?? [], Number).join();
  return (weights) => {
    const exchange = producers.get(weights);
    const turn = producers.get(exchange?.inputs[0] ?? '');
    const [source = '', , , axes, steps] = turn?.inputs ?? [];
    const isTurned =
      exchange?.op === 'Transpose' &&
      intsAttribute(exchange, 'perm', []).join() === '1,0,2,3' &&
      turn?.op === 'Slice' &&
      numbersOf(turn.inputs[1]) === '-1,-1' &&
      numbersOf(turn.inputs[2]) === `${-(2 ** 31)},${-(2 ** 31)}` &&
      numbersOf(axes) === '2,3' &&
      numbersOf(steps) === '-1,-1';
    return isTurned ? { weights: source, turned: true } : { weights, turned: false };
  };
}
