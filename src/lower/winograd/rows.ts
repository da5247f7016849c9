// The lowered graph while it grows: each value of the standard graph is there as it was, in rows, or both, converted where needed.
// In rows a value [N, C, H, W] is [H·W, N, C], or [N/c, H·W, c, C] in chunks of c records: pixels outermost in some order, so that moving
// pixels moves whole rows, and records beside channels, so that no index depends on how many there are.

import { type Dim, divideDims, type Graph, GraphBuilder, int, ints, type ValueType } from '../../onnx/index.ts';
import type { Attribute } from '../../onnx/index.ts';
import { addChunks } from './chunks.ts';
import { between, type Order, phased } from './orders.ts';
import { tile } from './transforms.ts';

/** A value in rows. */
export interface Rows {
  readonly name: string;
  readonly order: Order;
  /** Records in a chunk; undefined for all in one. */
  readonly chunk: number | undefined;
}

/** A value that is computed where it is read, from other values' rows, in the same chunks. */
export interface Parts {
  readonly names: readonly string[];
  readonly order: Order;
  readonly chunk: number | undefined;
  /** Adds the value, or a chunk of it, from the parts or a chunk of each. */
  make(builder: GraphBuilder, parts: readonly string[]): string;
}

export class RowGraph {
  readonly builder: GraphBuilder;
  readonly #types: ReadonlyMap<string, ValueType>;
  readonly #graph: Graph;
  readonly #plain = new Map<string, string>();
  readonly #rows = new Map<string, Rows[]>();
  readonly #parts = new Map<string, Parts>();
  /** The number that must divide the number of records. */
  recordsMultiple = 1;

  constructor(graph: Graph, types: ReadonlyMap<string, ValueType>) {
    this.#graph = graph;
    this.#types = types;
    this.builder = new GraphBuilder(graph.name);
    for (const [domain, version] of Object.entries(graph.opsets)) this.builder.useOpset(domain, version);
    this.builder.reserve(types.keys());
    for (const { name, dtype, dims } of graph.inputs) this.#plain.set(name, this.builder.input(name, dtype, dims));
  }

  dims(value: string): readonly Dim[] {
    return this.#typeOf(value).dims;
  }

  /** Channels, height and width of [N, C, H, W]. */
  sizes(value: string): readonly [number, number, number] {
    return this.dims(value).slice(1) as [number, number, number];
  }

  /** Says that the value is there as it was, under its own name. */
  havePlain(value: string): void {
    this.#plain.set(value, value);
  }

  haveRows(value: string, rows: Rows): void {
    this.#rows.set(value, [...(this.#rows.get(value) ?? []), rows]);
  }

  /** Says that the value can be computed where it is read. */
  haveParts(value: string, parts: Parts): void {
    this.#parts.set(value, parts);
  }

  /** The value as the standard graph has it. */
  plain(value: string): string {
    const known = this.#plain.get(value);
    if (known !== undefined) return known;
    const initializer = this.#graph.initializers.get(value);
    const [rows] = this.#made(value);
    let name = value;
    if (initializer) name = this.builder.initializer(value, initializer);
    else if (rows) this.#outOfRows(value, rows);
    this.#plain.set(value, name);
    return name;
  }

  /** The value in rows, however they stand. */
  anyRows(value: string): Rows {
    return this.#made(value)[0] ?? this.#intoRows(value, undefined);
  }

  /** The value by tiles' phases in chunks of `chunk` records, as a whole or as parts to compute it from. */
  inPhases(value: string, chunk: number | undefined): Parts {
    const parts = this.#parts.get(value);
    if (parts?.chunk === chunk && parts?.order.phases) return parts;
    const [, height, width] = this.sizes(value);
    const some = this.rows(value, chunk);
    const { name, order } = some.order.phases ? some : this.rows(value, chunk, phased(tile, height, width));
    return { names: [name], order, chunk, make: (_, [whole = '']) => whole };
  }

  /** The same value [P, N, C], not before `other` is there: a Reshape to sizes that are computed with that of `other`. */
  after(value: string, other: string): string {
    const dims = this.builder.dimsOf(value);
    const size = this.builder.add('Shape', [other], { start: int(0), end: int(1) });
    // 0 stands for the value's own size, and a size's negative is never the larger.
    const target = this.builder.add('Max', [this.builder.integers([0, 0, 0]), this.builder.add('Neg', [size])]);
    return this.typed('Reshape', [value, target], dims);
  }

  /** The value in rows in chunks of `chunk` records, in any order, or in `order`. */
  rows(value: string, chunk: number | undefined, order?: Order): Rows {
    const fits = (rows: Rows): boolean => rows.chunk === chunk && (!order || rows.order.key === order.key);
    const all = this.#made(value);
    const known = all.find(fits);
    if (known) return known;
    const inChunk = all.find((rows) => rows.chunk === chunk);
    const [some] = all;
    let made = inChunk ?? (some ? this.#rechunked(value, some, chunk) : this.#intoRows(value, chunk));
    if (order && made.order.key !== order.key) made = this.#reordered(value, made, order);
    if (!this.#rows.get(value)?.includes(made)) this.haveRows(value, made);
    return made;
  }

  /** The dimensions of a value's rows. */
  rowDims(value: string, chunk: number | undefined): readonly Dim[] {
    const [channels, height, width] = this.sizes(value);
    return chunk === undefined
      ? [height * width, this.#records(value), channels]
      : [this.chunks(value, chunk), height * width, chunk, channels];
  }

  /** How many chunks a value's records make; then the chunk must divide their number. */
  chunks(value: string, chunk: number): Dim {
    const records = this.#records(value);
    if (typeof records === 'string') this.recordsMultiple = Math.max(this.recordsMultiple, chunk);
    return divideDims(records, chunk) ?? `${records}/${chunk}`;
  }

  /** Adds a node whose output's dimensions are given, because inference cannot follow them. */
  typed(
    op: string,
    inputs: readonly string[],
    dims: readonly Dim[],
    attributes: Readonly<Record<string, Attribute>> = {},
    output = this.builder.fresh(op.toLowerCase()),
  ): string {
    const { dtype } = this.builder.typeOf(inputs[0] ?? '');
    this.builder.addTyped({ op, domain: '', inputs, outputs: [output], attributes }, [{ dtype, dims }]);
    return output;
  }

  reshape(value: string, target: readonly number[], dims: readonly Dim[], output?: string): string {
    return this.typed('Reshape', [value, this.builder.integers(target)], dims, {}, output);
  }

  transpose(value: string, perm: readonly number[]): string {
    const dims = this.builder.dimsOf(value);
    const turned = perm.map((axis) => dims[axis] ?? 1);
    return this.typed('Transpose', [value], turned, { perm: ints(perm) });
  }

  /** The forms in which the value's rows are there; a value of parts is computed. */
  #made(value: string): readonly Rows[] {
    const parts = this.#parts.get(value);
    if (parts && !this.#rows.has(value)) {
      const { names, order, chunk } = parts;
      const count = chunk === undefined ? undefined : this.chunks(value, chunk);
      const { outputs } = addChunks(this.builder, { values: names, sums: [], count }, ({ builder, values }) => ({
        outputs: [parts.make(builder, values)],
        sums: [],
      }));
      this.haveRows(value, { name: outputs[0] as string, order, chunk });
    }
    return this.#rows.get(value) ?? [];
  }

  #typeOf(value: string): ValueType {
    return this.#types.get(value) as ValueType;
  }

  #records(value: string): Dim {
    return this.dims(value)[0] ?? 1;
  }

  #intoRows(value: string, chunk: number | undefined): Rows {
    const [channels, height, width] = this.sizes(value);
    const order = phased(1, height, width);
    const plain = this.plain(value);
    const pixels = height * width;
    const [first, ...rest] = this.rowDims(value, chunk) as [Dim, ...Dim[]];
    const name =
      chunk === undefined
        ? this.transpose(this.reshape(plain, [0, channels, pixels], [rest[0] ?? 1, channels, pixels]), [2, 0, 1])
        : this.transpose(
            this.reshape(plain, [-1, chunk, channels, pixels], [first, chunk, channels, pixels]),
            [0, 3, 1, 2],
          );
    const rows = { name, order, chunk };
    this.haveRows(value, rows);
    return rows;
  }

  #outOfRows(value: string, rows: Rows): void {
    const [channels, height, width] = this.sizes(value);
    const { chunk } = rows;
    const { name } = this.#reordered(value, rows, phased(1, height, width));
    const turned = this.transpose(name, chunk === undefined ? [1, 2, 0] : [0, 2, 3, 1]);
    this.reshape(turned, [-1, channels, height, width], this.dims(value), value);
  }

  #reordered(value: string, { name, order, chunk }: Rows, to: Order): Rows {
    if (order.key === to.key) return { name, order, chunk };
    const rows = between(order, to);
    const index = this.builder.constant({ dtype: 'int32', dims: [rows.length], data: rows }, 'order');
    const dims = this.rowDims(value, chunk);
    const moved = this.typed('Gather', [name, index], dims, { axis: int(chunk === undefined ? 0 : 1) });
    return { name: moved, order: to, chunk };
  }

  /** [N/a, P, a, C] → [N/b, P, b, C], where a divides b or b divides a: [outer, parts, P, inner, C] with the two in the middle exchanged. */
  #rechunked(value: string, { name, order, chunk }: Rows, to: number | undefined): Rows {
    const [channels, height, width] = this.sizes(value);
    const pixels = height * width;
    const dims = this.rowDims(value, to);
    const target = to === undefined ? [pixels, -1, channels] : [-1, pixels, to, channels];
    const grows = chunk !== undefined && (to === undefined || chunk < to);
    // All records are one chunk, of a size that only running tells.
    const inner = (grows ? chunk : to) ?? 1;
    const [large, outer] = grows ? [to, dims] : [chunk, this.rowDims(value, chunk)];
    const parts = large === undefined ? -1 : large / inner;
    const first = large === undefined ? 1 : -1;
    const counts: readonly Dim[] =
      large === undefined ? [1, this.chunks(value, inner)] : [outer[0] ?? 1, large / inner];
    const middle = grows ? [parts, pixels] : [pixels, parts];
    const labels: readonly Dim[] = grows ? [counts[1] ?? 1, pixels] : [pixels, counts[1] ?? 1];
    const parted = this.reshape(
      name,
      [first, ...middle, inner, channels],
      [counts[0] ?? 1, ...labels, inner, channels],
    );
    return { name: this.reshape(this.transpose(parted, [0, 2, 1, 3, 4]), target, dims), order, chunk: to };
  }
}
