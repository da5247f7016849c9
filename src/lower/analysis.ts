// What a lowering decides before it writes anything: which operations of a graph it takes over, and which values it keeps in blocks.

import {
  type Dim,
  type Graph,
  type Hint,
  inferTypes,
  intAttribute,
  intsAttribute,
  type Node,
  textAttribute,
  type ValueType,
} from '../onnx/index.ts';

/** A convolution that the blocked kernels can do. */
export interface BlockedConv {
  readonly node: Node;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel: readonly [number, number];
  readonly strides: readonly number[];
  /** Top, left, bottom, right. */
  readonly pads: readonly number[];
  readonly outSize: readonly [number, number];
  /** The input stays as it is: it has fewer channels than a block. */
  readonly plainInput: boolean;
}

/** Conv, Relu and a pool of 2 x 2 that are one operation: four convolutions, one for each place in the pool's window. */
export interface PhasedPool {
  readonly conv: BlockedConv;
  readonly y: string;
}

export interface Analysis {
  readonly block: number;
  readonly types: ReadonlyMap<string, ValueType>;
  /** Hints that are taken, by output. */
  readonly hints: ReadonlyMap<string, Hint>;
  readonly live: ReadonlySet<string>;
  readonly convs: ReadonlyMap<Node, BlockedConv>;
  /** By the Conv's output and by the pool's output. */
  readonly pools: ReadonlyMap<string, PhasedPool>;
  /** Output of a Conv → output of the Relu that alone reads it. */
  readonly fused: ReadonlyMap<string, string>;
  /** Values that are computed in blocks. */
  readonly blocked: ReadonlySet<string>;
}

/** Operators that work on each element alone, whatever its place. */
const elementwise = new Set(
  (
    'Abs Add And Cast Ceil Clip Cos Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN ' +
    'LeakyRelu Less LessOrEqual Log Max Min Mul Neg Not Or Pow Reciprocal Relu Round Sigmoid Sign Sin Softplus Softsign Sqrt Sub Sum Tanh Where Xor'
  ).split(' '),
);

/** Analyses a graph for blocks of `block` channels. */
export function analyse(graph: Graph, block: number): Analysis {
  const types = inferTypes(graph);
  const convs = new Map<Node, BlockedConv>();
  for (const node of graph.nodes) {
    const conv = blockedConv(node, types, block);
    if (conv) convs.set(node, conv);
  }
  const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  const hints = new Map(
    (graph.hints ?? []).filter((hint) => canTake(hint, types, block)).map((hint) => [hint.output, hint]),
  );
  // A pool's gradient is taken only where its forward pass is: each refusal changes who reads what, so it starts again.
  for (;;) {
    const readers = readersOf(outputs, producers, hints);
    const pools = new Map<string, PhasedPool>();
    for (const node of graph.nodes) {
      const pool = phasedPool(node, { types, producers, convs, readers, hints });
      if (pool) pools.set(pool.y, pool).set(pool.conv.node.outputs[0] ?? '', pool);
    }
    const refused = [...hints.values()].filter(({ op, inputs: [first = '', second = ''] }) => {
      if (op === 'ReluMaxPoolGradient') return pools.get(second)?.conv.node.outputs[0] !== first;
      // Records' shares are taken from a pool's gradient in its phases only.
      return op === 'ConvRecordGradients' && hints.get(second)?.op !== 'ReluMaxPoolGradient';
    });
    for (const { output } of refused) hints.delete(output);
    if (refused.length > 0) continue;
    const live = new Set(readers.keys());
    const fused = fusedRelus(convs, producers, readers, pools);
    const blocked = blockedValues(graph, { block, types, convs, hints, live, pools, fused });
    return { block, types, hints, live, convs, pools, fused, blocked };
  }
}

/** The numbers of a shape from `from` on, or undefined when one is symbolic. */
function numbers(dims: readonly Dim[] | undefined, from: number): readonly number[] | undefined {
  const rest = dims?.slice(from);
  return rest?.every((dim) => typeof dim === 'number') ? rest : undefined;
}

function blockedConv(node: Node, types: ReadonlyMap<string, ValueType>, block: number): BlockedConv | undefined {
  if (node.op !== 'Conv' || node.domain !== '') return undefined;
  const [x = '', w = ''] = node.inputs;
  const weights = numbers(types.get(w)?.dims, 0);
  const input = numbers(types.get(x)?.dims, 1);
  const output = numbers(types.get(node.outputs[0] ?? '')?.dims, 1);
  if (weights?.length !== 4 || input?.length !== 3 || output?.length !== 3) return undefined;
  const [outChannels = 0, inChannels = 0, height = 0, width = 0] = weights;
  if (intAttribute(node, 'group', 1) !== 1 || outChannels % block !== 0) return undefined;
  const plainInput = inChannels < block;
  if (!plainInput && inChannels % block !== 0) return undefined;
  if (intsAttribute(node, 'dilations', [1, 1]).some((dilation) => dilation !== 1)) return undefined;
  if (!['NOTSET', 'VALID'].includes(textAttribute(node, 'auto_pad', 'NOTSET'))) return undefined;
  return {
    node,
    inChannels,
    outChannels,
    kernel: [height, width],
    strides: intsAttribute(node, 'strides', [1, 1]),
    pads: intsAttribute(node, 'pads', [0, 0, 0, 0]),
    outSize: [output[1] ?? 0, output[2] ?? 0],
    plainInput,
  };
}

function canTake(hint: Hint, types: ReadonlyMap<string, ValueType>, block: number): boolean {
  const [first = '', second = ''] = hint.inputs;
  const input = numbers(types.get(first)?.dims, 1);
  const given = numbers(types.get(second)?.dims, 1);
  if (input?.length !== 3 || given?.length !== 3) return false;
  if (hint.op === 'ReluMaxPoolGradient') return true;
  const records = types.get(first)?.dims[0];
  if (hint.op === 'ConvWeightGradient' && typeof records === 'number' && records % block !== 0) return false;
  if (
    hint.op === 'ConvRecordGradients' &&
    ((input[0] ?? 0) >= block || given.some((size, axis) => axis > 0 && size % 2 !== 0))
  )
    return false;
  const asNode = { attributes: hint.attributes } as Node;
  const ones = [...intsAttribute(asNode, 'strides', []), ...intsAttribute(asNode, 'dilations', [])];
  const pads = intsAttribute(asNode, 'pads', []);
  return (
    ones.every((one) => one === 1) &&
    pads.every((pad) => pad >= 0) &&
    intAttribute(asNode, 'group', 1) === 1 &&
    (given[0] ?? 0) % block === 0
  );
}

/** For each value that the outputs need: who reads it, as the readers' outputs; a graph output is read by ''. */
function readersOf(
  outputs: ReadonlySet<string>,
  producers: ReadonlyMap<string, Node>,
  hints: ReadonlyMap<string, Hint>,
): Map<string, Set<string>> {
  const readers = new Map<string, Set<string>>();
  const open: (readonly [value: string, reader: string])[] = [...outputs].map((output) => [output, '']);
  for (let next = open.pop(); next; next = open.pop()) {
    const [value, reader] = next;
    const known = readers.get(value);
    if (known) {
      known.add(reader);
      continue;
    }
    readers.set(value, new Set([reader]));
    const inputs = (hints.get(value) ?? producers.get(value))?.inputs ?? [];
    for (const input of inputs) if (input !== '') open.push([input, value]);
  }
  return readers;
}

interface Surroundings {
  readonly types: ReadonlyMap<string, ValueType>;
  readonly producers: ReadonlyMap<string, Node>;
  readonly convs: ReadonlyMap<Node, BlockedConv>;
  readonly readers: ReadonlyMap<string, ReadonlySet<string>>;
  readonly hints: ReadonlyMap<string, Hint>;
}

function phasedPool(node: Node, { types, producers, convs, readers, hints }: Surroundings): PhasedPool | undefined {
  const [y = ''] = node.outputs;
  if (node.op !== 'MaxPool' || node.domain !== '' || !readers.has(y) || (node.outputs[1] ?? '') !== '')
    return undefined;
  const twoByTwo = (name: string) => intsAttribute(node, name, [1, 1]).join() === '2,2';
  const plain = (name: string, usual: number) => intsAttribute(node, name, []).every((value) => value === usual);
  if (!twoByTwo('kernel_shape') || !twoByTwo('strides') || !plain('pads', 0) || !plain('dilations', 1))
    return undefined;
  if (textAttribute(node, 'auto_pad', 'NOTSET') !== 'NOTSET') return undefined;
  const relu = producers.get(node.inputs[0] ?? '');
  const source = relu?.op === 'Relu' ? producers.get(relu.inputs[0] ?? '') : undefined;
  const conv = source && convs.get(source);
  if (!relu || !conv || conv.strides.some((stride) => stride !== 1)) return undefined;
  const z = conv.node.outputs[0] ?? '';
  const r = relu.outputs[0] ?? '';
  const zReaders = [...(readers.get(z) ?? [])];
  const rReaders = [...(readers.get(r) ?? [])];
  const gradientOfThis = (reader: string): boolean => {
    const hint = hints.get(reader);
    return hint?.op === 'ReluMaxPoolGradient' && hint.inputs[0] === z && hint.inputs[1] === y;
  };
  if (rReaders.some((reader) => reader !== y) || zReaders.some((reader) => reader !== r && !gradientOfThis(reader)))
    return undefined;
  const input = numbers(types.get(conv.node.inputs[0] ?? '')?.dims, 2);
  if (!input || conv.outSize.some((size) => size % 2 !== 0)) return undefined;
  return phasePads(conv, input, 1, 1).every((pad) => pad >= 0) && phasePads(conv, input, 0, 0).every((pad) => pad >= 0)
    ? { conv, y }
    : undefined;
}

/** The pads of the stride-2 convolution that gives row `py` and column `px` of each pool window: top, left, bottom, right. */
export function phasePads(conv: BlockedConv, input: readonly number[], py: number, px: number): readonly number[] {
  const begins = [(conv.pads[0] ?? 0) - py, (conv.pads[1] ?? 0) - px];
  const ends = begins.map(
    (begin, axis) => (conv.outSize[axis] ?? 0) - 2 + (conv.kernel[axis] ?? 0) - (input[axis] ?? 0) - begin,
  );
  return [...begins, ...ends];
}

function fusedRelus(
  convs: ReadonlyMap<Node, BlockedConv>,
  producers: ReadonlyMap<string, Node>,
  readers: ReadonlyMap<string, ReadonlySet<string>>,
  pools: ReadonlyMap<string, PhasedPool>,
): Map<string, string> {
  const fused = new Map<string, string>();
  for (const { node } of convs.values()) {
    const [z = ''] = node.outputs;
    const [reader = '', ...others] = readers.get(z) ?? [];
    if (others.length === 0 && producers.get(reader)?.op === 'Relu' && !pools.has(z)) fused.set(z, reader);
  }
  return fused;
}

function blockedValues(graph: Graph, known: Omit<Analysis, 'blocked'>): Set<string> {
  const { block, types, convs, hints, live, pools, fused } = known;
  const blocked = new Set<string>();
  const fits = (value: string): boolean => {
    const dims = numbers(types.get(value)?.dims, 1);
    return dims?.length === 3 && (dims[0] ?? 0) % block === 0;
  };
  const single = (value: string) => types.get(value)?.dims.every((dim) => dim === 1) === true;
  const sameShape = (a: string, b: string) => types.get(a)?.dims.join() === types.get(b)?.dims.join();
  const joins = (node: Node): boolean => {
    const [output = ''] = node.outputs;
    const inputs = node.inputs.filter((input) => input !== '');
    return (
      elementwise.has(node.op) &&
      node.domain === '' &&
      fits(output) &&
      inputs.some((input) => blocked.has(input)) &&
      inputs.every((input) => single(input) || sameShape(input, output))
    );
  };
  for (const node of graph.nodes) {
    for (const output of node.outputs) {
      if (!live.has(output)) continue;
      const hint = hints.get(output);
      const takes = hint
        ? hint.op === 'ReluMaxPoolGradient'
        : pools.has(output) || convs.has(node) || (isPool(node) && blocked.has(node.inputs[0] ?? '')) || joins(node);
      if (!takes) continue;
      blocked.add(output);
      const relu = fused.get(output);
      if (relu !== undefined) blocked.add(relu);
    }
  }
  return blocked;
}

/** Whether a pool can be done in blocks when its input is. */
function isPool(node: Node): boolean {
  if (node.domain !== '' || (node.op !== 'MaxPool' && node.op !== 'AveragePool')) return false;
  return (
    (node.outputs[1] ?? '') === '' &&
    intAttribute(node, 'ceil_mode', 0) === 0 &&
    intsAttribute(node, 'dilations', [1, 1]).every((dilation) => dilation === 1) &&
    textAttribute(node, 'auto_pad', 'NOTSET') === 'NOTSET'
  );
}
