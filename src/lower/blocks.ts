// The lowered graph while it grows: each value of the standard graph is there as it was, in blocks, or both, converted where needed.

import { type Attribute, type Dim, type Graph, GraphBuilder, int, ints, type ValueType } from '../onnx/index.ts';
import { blockedDomain } from './block.ts';

export class Blocks {
  readonly builder: GraphBuilder;
  readonly block: number;
  readonly #types: ReadonlyMap<string, ValueType>;
  readonly #graph: Graph;
  readonly #plain = new Map<string, string>();
  readonly #blocked = new Map<string, string>();

  constructor(graph: Graph, types: ReadonlyMap<string, ValueType>, block: number) {
    this.#graph = graph;
    this.#types = types;
    this.block = block;
    this.builder = new GraphBuilder(graph.name);
    for (const [domain, version] of Object.entries(graph.opsets)) this.builder.useOpset(domain, version);
    this.builder.useOpset(blockedDomain, 1);
    this.builder.reserve(types.keys());
    for (const { name, dtype, dims } of graph.inputs) this.#plain.set(name, this.builder.input(name, dtype, dims));
  }

  typeOf(value: string): ValueType {
    return this.#types.get(value) as ValueType;
  }

  dims(value: string): readonly Dim[] {
    return this.typeOf(value).dims;
  }

  /** The sizes of [N, C, H, W] after N. */
  sizes(value: string): readonly [number, number, number] {
    return this.dims(value).slice(1) as [number, number, number];
  }

  /** Says that the value is there as it was, under its own name. */
  havePlain(value: string): void {
    this.#plain.set(value, value);
  }

  haveBlocked(value: string, name: string): void {
    this.#blocked.set(value, name);
  }

  /** The value as the standard graph has it. */
  plain(value: string): string {
    const known = this.#plain.get(value);
    if (known !== undefined) return known;
    const initializer = this.#graph.initializers.get(value);
    const blocked = this.#blocked.get(value);
    let name = value;
    if (initializer) name = this.builder.initializer(value, initializer);
    else if (blocked !== undefined) name = this.#unblock(value, blocked);
    this.#plain.set(value, name);
    return name;
  }

  /** The value in blocks, labelled with the shape that it has in the standard graph. */
  blocked(value: string): string {
    let name = this.#blocked.get(value);
    if (name === undefined) {
      name = this.#intoBlocks(this.plain(value), value);
      this.#blocked.set(value, name);
    }
    return name;
  }

  /** Adds an operator on blocked data whose output has this shape. */
  foreign(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>>,
    dims: readonly Dim[],
    output = this.builder.fresh(op.toLowerCase()),
  ): string {
    this.builder.addTyped({ op, domain: blockedDomain, inputs, outputs: [output], attributes }, [
      { dtype: 'float32', dims },
    ]);
    return output;
  }

  /** Reshape; `dims` says the shape where inference cannot follow it. */
  reshape(value: string, target: readonly number[], dims?: readonly Dim[], output?: string): string {
    const inputs = [value, this.builder.integers(target)];
    if (!dims) return this.builder.add('Reshape', inputs, {}, output === undefined ? {} : { output });
    return this.#typed('Reshape', inputs, {}, dims, this.builder.typeOf(value).dtype, output);
  }

  /**
   * The same value [N, …dims], not before `others` are there, which have N at `axis`. ONNX Runtime chooses the order of nodes by who
   * reads what; a value that must not wait, or must not come early and take memory, is tied to another's coming. It costs nothing: a
   * shape is read without the values, and a Reshape copies none. The sizes are computed in a way that its optimizer does not see through.
   */
  after(value: string, others: readonly string[], dims: readonly Dim[], axis = 0): string {
    const batches = others.map((other) => this.builder.add('Shape', [other], { start: int(axis), end: int(axis + 1) }));
    const batch = batches.length > 1 ? this.builder.add('Max', batches) : (batches[0] as string);
    // 0 stands for the value's own N, and -N is never the larger.
    const target = this.add('Max', this.builder.integers([0, ...(dims.slice(1) as number[])]), this.add('Neg', batch));
    return this.#typed('Reshape', [value, target], {}, dims, this.builder.typeOf(value).dtype);
  }

  transpose(value: string, perm: readonly number[]): string {
    return this.builder.add('Transpose', [value], { perm: ints(perm) });
  }

  add(op: string, ...inputs: string[]): string {
    return this.builder.add(op, inputs);
  }

  concat(values: readonly string[], axis: number): string {
    return this.builder.add('Concat', values, { axis: int(axis) });
  }

  /** [N, C, …] with C fixed → in blocks, under the same label. */
  reorderIn(value: string, dims: readonly Dim[]): string {
    return this.foreign('ReorderInput', [value], { channels_last: int(0) }, dims);
  }

  /** The value in blocks of the shape [N, C/B, H, W, B]. */
  opened(blocked: string, [channels, height, width]: readonly [number, number, number]): string {
    return this.reshape(blocked, [0, channels / this.block, height, width, this.block]);
  }

  #typed(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>>,
    dims: readonly Dim[],
    dtype: ValueType['dtype'],
    output = this.builder.fresh(op.toLowerCase()),
  ): string {
    this.builder.addTyped({ op, domain: '', inputs, outputs: [output], attributes }, [{ dtype, dims }]);
    return output;
  }

  #intoBlocks(plain: string, value: string): string {
    const { dtype, dims } = this.typeOf(value);
    const [channels, height, width] = this.sizes(value);
    if (dtype === 'float32') return this.reorderIn(plain, dims);
    const parted = this.reshape(plain, [0, channels / this.block, this.block, height, width]);
    return this.reshape(this.transpose(parted, [0, 1, 3, 4, 2]), [0, channels, height, width]);
  }

  #unblock(value: string, blocked: string): string {
    const { dtype, dims } = this.typeOf(value);
    const sizes = this.sizes(value);
    const [channels, height, width] = sizes;
    if (dtype === 'float32')
      return this.foreign('ReorderOutput', [blocked], { channels: int(channels), channels_last: int(0) }, dims, value);
    const parted = this.transpose(this.opened(blocked, sizes), [0, 1, 4, 2, 3]);
    return this.reshape(parted, [0, channels, height, width], undefined, value);
  }
}
