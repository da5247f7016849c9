// What a lowering decides before it writes anything: which operations of a graph it takes over, and which values it keeps
// in its own layout.

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

/** What a lowering can compute in its layout. */
export interface Taking<C extends TakenConv> {
  /** A convolution as the lowering knows it; undefined where it does not take it. */
  conv(node: Node, types: ReadonlyMap<string, ValueType>): C | undefined;
  /** Whether it can compute what the hint says, its pool's forward pass aside. */
  hint(hint: Hint, types: ReadonlyMap<string, ValueType>): boolean;
  /** Whether a convolution, its Relu and a maximum of 2 x 2 can be one operation. */
  phases(conv: C, types: ReadonlyMap<string, ValueType>): boolean;
  /** Whether a value [N, …dims] of three such dimensions can be in the layout. */
  fits(dims: readonly number[]): boolean;
  /** Whether any other pool can be computed in the layout. */
  readonly pools: boolean;
}

export interface TakenConv {
  readonly node: Node;
}

/** Conv, Relu and a pool of 2 x 2 that are one operation: the four places in the pool's window are computed apart. */
export interface PhasedPool<C extends TakenConv> {
  readonly conv: C;
  readonly y: string;
}

export interface Analysis<C extends TakenConv> {
  readonly types: ReadonlyMap<string, ValueType>;
  /** Hints that are taken, by output. */
  readonly hints: ReadonlyMap<string, Hint>;
  readonly live: ReadonlySet<string>;
  readonly convs: ReadonlyMap<Node, C>;
  /** By the Conv's output and by the pool's output. */
  readonly pools: ReadonlyMap<string, PhasedPool<C>>;
  /** Output of a Conv → output of the Relu that alone reads it. */
  readonly fused: ReadonlyMap<string, string>;
  /** Values that are computed in the layout. */
  readonly inLayout: ReadonlySet<string>;
}

/** Operators that work on each element alone, whatever its place. */
const elementwise = new Set(
  (
    'Abs Add And Cast Ceil Clip Cos Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN ' +
    'LeakyRelu Less LessOrEqual Log Max Min Mul Neg Not Or Pow Reciprocal Relu Round Sigmoid Sign Sin Softplus Softsign Sqrt Sub Sum Tanh Where Xor'
  ).split(' '),
);

/** Analyses a graph for a lowering. */
export function analyse<C extends TakenConv>(graph: Graph, taking: Taking<C>): Analysis<C> {
  const types = inferTypes(graph);
  const convs = new Map<Node, C>();
  for (const node of graph.nodes) {
    const conv = taking.conv(node, types);
    if (conv) convs.set(node, conv);
  }
  const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  const hints = new Map(
    (graph.hints ?? []).filter((hint) => taking.hint(hint, types)).map((hint) => [hint.output, hint]),
  );
  // A pool's gradient is taken only where its forward pass is: each refusal changes who reads what, so it starts again.
  for (;;) {
    const readers = readersOf(outputs, producers, hints);
    const pools = new Map<string, PhasedPool<C>>();
    for (const node of graph.nodes) {
      const pool = phasedPool(node, { types, producers, convs, readers, hints, taking });
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
    const inLayout = valuesInLayout(graph, { types, convs, hints, live, pools, fused }, taking);
    return { types, hints, live, convs, pools, fused, inLayout };
  }
}

/** The numbers of a shape from `from` on, or undefined when one is symbolic. */
export function numbers(dims: readonly Dim[] | undefined, from: number): readonly number[] | undefined {
  const rest = dims?.slice(from);
  return rest?.every((dim) => typeof dim === 'number') ? rest : undefined;
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

interface Surroundings<C extends TakenConv> {
  readonly taking: Taking<C>;
  readonly types: ReadonlyMap<string, ValueType>;
  readonly producers: ReadonlyMap<string, Node>;
  readonly convs: ReadonlyMap<Node, C>;
  readonly readers: ReadonlyMap<string, ReadonlySet<string>>;
  readonly hints: ReadonlyMap<string, Hint>;
}

function phasedPool<C extends TakenConv>(node: Node, surroundings: Surroundings<C>): PhasedPool<C> | undefined {
  const { types, producers, convs, readers, hints, taking } = surroundings;
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
  if (!relu || !conv) return undefined;
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
  return taking.phases(conv, types) ? { conv, y } : undefined;
}

function fusedRelus<C extends TakenConv>(
  convs: ReadonlyMap<Node, C>,
  producers: ReadonlyMap<string, Node>,
  readers: ReadonlyMap<string, ReadonlySet<string>>,
  pools: ReadonlyMap<string, PhasedPool<C>>,
): Map<string, string> {
  const fused = new Map<string, string>();
  for (const { node } of convs.values()) {
    const [z = ''] = node.outputs;
    const [reader = '', ...others] = readers.get(z) ?? [];
    if (others.length === 0 && producers.get(reader)?.op === 'Relu' && !pools.has(z)) fused.set(z, reader);
  }
  return fused;
}

function valuesInLayout<C extends TakenConv>(
  graph: Graph,
  known: Omit<Analysis<C>, 'inLayout'>,
  taking: Taking<C>,
): Set<string> {
  const { types, convs, hints, live, pools, fused } = known;
  const inLayout = new Set<string>();
  const fits = (value: string): boolean => {
    const dims = numbers(types.get(value)?.dims, 1);
    return dims?.length === 3 && taking.fits(dims);
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
      inputs.some((input) => inLayout.has(input)) &&
      inputs.every((input) => single(input) || sameShape(input, output))
    );
  };
  for (const node of graph.nodes) {
    for (const output of node.outputs) {
      if (!live.has(output)) continue;
      const hint = hints.get(output);
      const takes = hint
        ? hint.op === 'ReluMaxPoolGradient' ||
          (hint.op === 'ReluGradient' && hint.inputs.some((input) => inLayout.has(input)))
        : pools.has(output) ||
          convs.has(node) ||
          (taking.pools && isPool(node) && inLayout.has(node.inputs[0] ?? '')) ||
          joins(node);
      if (!takes) continue;
      inLayout.add(output);
      const relu = fused.get(output);
      if (relu !== undefined) inLayout.add(relu);
    }
  }
  return inLayout;
}

/** Whether a pool can be done in the layout when its input is. */
function isPool(node: Node): boolean {
  if (node.domain !== '' || (node.op !== 'MaxPool' && node.op !== 'AveragePool')) return false;
  return (
    (node.outputs[1] ?? '') === '' &&
    intAttribute(node, 'ceil_mode', 0) === 0 &&
    intsAttribute(node, 'dilations', [1, 1]).every((dilation) => dilation === 1) &&
    textAttribute(node, 'auto_pad', 'NOTSET') === 'NOTSET'
  );
}
