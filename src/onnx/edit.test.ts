import { describe, expect, it } from 'vitest';
import { float32, int64 } from '../tensor/index.ts';
import { GraphBuilder } from './builder.ts';
import { validate } from './check.ts';
import { bindDims, builderOf, extract, inline, rename } from './edit.ts';
import { graphHash, writeModel } from './file/write.ts';
import { type Graph, type Hint, int, OPSET } from './graph.ts';

/** x → a = x·w1 → b = relu a → (c, d) = split b → y = c·w2, z = d + c. */
function network(batch = 'N'): Graph {
  const builder = new GraphBuilder('network');
  builder.input('x', 'float32', [batch, 2]);
  builder.initializer('w1', float32(Array(8).fill(1), [2, 4]));
  builder.initializer('w2', float32(Array(6).fill(1), [2, 3]));
  builder.initializer('sizes', int64([2, 2]));
  builder.add('MatMul', ['x', 'w1'], {}, { output: 'a' });
  builder.add('Relu', ['a'], {}, { output: 'b' });
  builder.addNode({
    op: 'Split',
    domain: '',
    inputs: ['b', 'sizes'],
    outputs: ['c', 'd'],
    attributes: { axis: int(1) },
  });
  builder.add('MatMul', ['c', 'w2'], {}, { output: 'y' });
  builder.add('Add', ['d', 'c'], {}, { output: 'z' });
  builder.output('y');
  builder.output('z');
  return builder.build({ metadata: { kept: 'yes' } });
}

const ops = (graph: Graph): string[] => graph.nodes.map(({ op }) => op);

describe('extract', () => {
  it('cuts a graph in two at a value, and each half has what it reads', () => {
    const first = extract(network(), { inputs: ['x'], outputs: ['b'], name: 'segment' });
    const second = extract(network(), { inputs: ['b'], outputs: ['y', 'z'], name: 'trunk' });
    expect([first.name, ops(first), [...first.initializers.keys()]]).toEqual(['segment', ['MatMul', 'Relu'], ['w1']]);
    expect([ops(second), [...second.initializers.keys()]]).toEqual([
      ['Split', 'MatMul', 'Add'],
      ['w2', 'sizes'],
    ]);
    expect(first.outputs).toEqual([{ name: 'b', dtype: 'float32', dims: ['N', 4] }]);
    expect(second.inputs).toEqual([{ name: 'b', dtype: 'float32', dims: ['N', 4] }]);
    expect(second.outputs.map(({ name }) => name)).toEqual(['y', 'z']);
    expect(second.metadata).toEqual({ kept: 'yes' });
    validate(first);
    validate(second);
  });

  it('turns an initializer into an input, and drops the output that is given', () => {
    const part = extract(network(), { inputs: ['b', 'w2', 'd'], outputs: ['y', 'z'] });
    expect(part.inputs.map(({ name }) => name)).toEqual(['b', 'w2', 'd']);
    expect([...part.initializers.keys()]).toEqual(['sizes']);
    expect(part.nodes[0]?.outputs).toEqual(['c', '']);
    validate(part);
  });

  it('refuses a part that needs more than it is given', () => {
    const graph = network();
    expect(() => extract(graph, { inputs: ['d'], outputs: ['y'] })).toThrow(/y cannot be computed from d: needs x too/);
    expect(() => extract(graph, { inputs: ['nothing'], outputs: ['y'] })).toThrow(/"nothing"|needs x/);
  });
});

describe('inline', () => {
  it('puts the halves of a cut together again', () => {
    const whole = new GraphBuilder('whole');
    whole.input('x', 'float32', ['N', 2]);
    const segment = inline(
      whole,
      extract(network(), { inputs: ['x'], outputs: ['b'] }),
      new Map([['x', 'x']]),
      'segment/',
    );
    const trunk = inline(
      whole,
      extract(network(), { inputs: ['b'], outputs: ['y', 'z'] }),
      new Map([['b', segment.get('b') ?? '']]),
      'trunk/',
    );
    expect(segment.get('b')).toBe('segment/b');
    whole.output(trunk.get('y') ?? '', 'y');
    const graph = whole.build();
    validate(graph);
    expect([...graph.initializers.keys()]).toEqual(['segment/w1', 'trunk/w2', 'trunk/sizes']);
    expect(ops(graph)).toEqual(['MatMul', 'Relu', 'Split', 'MatMul', 'Add', 'Identity']);
  });

  it('binds parameters to values of the builder, and makes names unique', () => {
    const builder = new GraphBuilder('twice');
    builder.input('x', 'float32', ['N', 2]);
    builder.input('shared', 'float32', [2, 4]);
    const bindings = new Map([['x', 'x'], ['w1', 'shared']]); // prettier-ignore
    const first = inline(builder, network(), bindings);
    const second = inline(builder, network(), bindings);
    expect(first.get('y')).toBe('y');
    expect(second.get('y')).not.toBe('y');
    builder.output(first.get('y') ?? '');
    builder.output(second.get('z') ?? '');
    const graph = builder.build();
    validate(graph);
    expect(graph.nodes.filter(({ inputs }) => inputs.includes('shared'))).toHaveLength(2);
  });

  it('refuses bindings that are missing, of another type, or of no input', () => {
    const builder = new GraphBuilder('host');
    builder.input('wide', 'float32', ['N', 3]);
    builder.input('right', 'float32', ['49*N', 2]);
    expect(() => inline(builder, network(), new Map())).toThrow(/input "x" is not bound/);
    expect(() => inline(builder, network(), new Map([['x', 'wide']]))).toThrow(
      /"x" is float32 \[N, 2\], but is bound to float32 \[N, 3\]/,
    );
    expect(() => inline(builder, network(), new Map([['x', 'right'], ['v', 'right']]))).toThrow(/no input or initializer "v"/); // prettier-ignore
    expect(() => inline(builder, { ...network(), opsets: { '': 13 } }, new Map([['x', 'right']]))).toThrow(
      new RegExp(`uses operator set 13.*but ${OPSET} is being built`),
    );
  });
});

describe('rename', () => {
  it('renames a value wherever it stands', () => {
    const graph = rename(network(), new Map([['x', 'pixels'], ['w1', 'kernel'], ['c', 'left'], ['y', 'logits']])); // prettier-ignore
    validate(graph);
    expect(graph.inputs[0]?.name).toBe('pixels');
    expect(graph.nodes[0]?.inputs).toEqual(['pixels', 'kernel']);
    expect(graph.nodes[2]?.outputs).toEqual(['left', 'd']);
    expect(graph.outputs.map(({ name }) => name)).toEqual(['logits', 'z']);
  });

  it('swaps two names, and refuses one name for two values', () => {
    const swapped = rename(network(), new Map([['c', 'd'], ['d', 'c']])); // prettier-ignore
    expect(swapped.nodes.at(-1)?.inputs).toEqual(['c', 'd']);
    validate(swapped);
    expect(() => rename(network(), new Map([['c', 'd']]))).toThrow(/would give "d" to two values/);
    expect(() => rename(network(), new Map([['q', 'r']]))).toThrow(/no value is called "q"/);
  });
});

describe('bindDims', () => {
  it('gives a symbolic dimension another name or a size, everywhere', () => {
    const named = bindDims(network('batch'), { batch: 'N' });
    expect(named).toEqual(network('N'));
    expect(bindDims(network(), { N: 3 }).outputs.map(({ dims }) => dims)).toEqual([[3, 3], [3, 2]]); // prettier-ignore
  });
});

describe('builderOf', () => {
  it('goes on where a graph ends, under the same names', () => {
    const builder = builderOf(network());
    builder.output(builder.add('Exp', ['y']), 'e');
    for (const { name } of network().outputs) builder.output(name);
    const graph = builder.build();
    validate(graph);
    expect(graph.nodes.slice(0, 5)).toEqual(network().nodes);
  });
});

describe('hints', () => {
  const hint = (inputs: string[], output: string): Hint => ({
    op: 'ReluMaxPoolGradient',
    inputs,
    output,
    attributes: {},
  });
  /** Said to be one operation: y of x and b; z of c and d. */
  const hinted = (): Graph => {
    const builder = builderOf(network());
    builder.hint(hint(['x', 'b'], 'y'));
    builder.hint(hint(['c', 'd'], 'z'));
    for (const name of ['y', 'z']) builder.output(name);
    return builder.build({ metadata: { kept: 'yes' } });
  };
  const said = ({ hints = [] }: Graph): string[] => hints.map(({ inputs, output }) => `${inputs.join()} → ${output}`);

  it('are no part of the file, nor of its hash', () => {
    expect(said(hinted())).toHaveLength(2);
    expect(writeModel(hinted())).toEqual(writeModel(network()));
    expect(graphHash(hinted())).toBe(graphHash(network()));
  });

  it('go on where a graph ends, and stay when its dimensions are bound', () => {
    const builder = builderOf(hinted());
    for (const name of ['y', 'z']) builder.output(name);
    expect(said(builder.build())).toEqual(['x,b → y', 'c,d → z']);
    expect(said(bindDims(hinted(), { N: 3 }))).toEqual(['x,b → y', 'c,d → z']);
  });

  it('stay with the part that has all their values, and leave when the part is given what they compute', () => {
    const part = (inputs: string[], outputs: string[]) => said(extract(hinted(), { inputs, outputs }));
    expect(part(['x'], ['y', 'z'])).toEqual(['x,b → y', 'c,d → z']);
    expect(part(['x'], ['b'])).toEqual([]);
    expect(part(['b'], ['y', 'z'])).toEqual(['c,d → z']);
    expect(part(['x', 'z'], ['y', 'z'])).toEqual(['x,b → y']);
    expect(part(['c', 'd'], ['z'])).toEqual(['c,d → z']);
  });

  it('leave with the nodes that an output does not need', () => {
    const builder = builderOf(hinted());
    builder.output('z');
    expect(said(builder.build({ prune: true }))).toEqual(['c,d → z']);
  });

  it('are renamed with their values, also where a graph is put into another', () => {
    const names = new Map([['x', 'pixels'], ['c', 'd'], ['d', 'c'], ['y', 'logits']]); // prettier-ignore
    expect(said(rename(hinted(), names))).toEqual(['pixels,b → logits', 'd,c → z']);
    const builder = new GraphBuilder('twice');
    builder.input('images', 'float32', ['N', 2]);
    for (const prefix of ['one/', 'two/']) {
      const outputs = inline(builder, hinted(), new Map([['x', 'images']]), prefix);
      for (const value of outputs.values()) builder.output(value);
    }
    expect(said(builder.build())).toEqual([
      'images,one/b → one/y',
      'one/c,one/d → one/z',
      'images,two/b → two/y',
      'two/c,two/d → two/z',
    ]);
  });
});
