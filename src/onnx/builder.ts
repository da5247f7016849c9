// Builds a Graph one node at a time and knows the type and shape of every value on the way: each added node is inferred at once,
// so a mistake shows at the node that makes it. Gradient rules, losses and optimizers ask the builder for shapes.

import { EngineError } from '../base/index.ts';
import { float32, int64, type DType, type Tensor } from '../tensor/index.ts';
import { type Attribute, type Dim, type Graph, type Hint, type Node, OPSET, readsOf, type ValueInfo } from './graph.ts';
import { elementsOfTensor, tensorOfConstant } from './infer/constants.ts';
import { canonicalDim } from './infer/dims.ts';
import { inferNode } from './infer/index.ts';

/** What is known of a value: its element type and its dimensions. */
export interface ValueType {
  readonly dtype: DType;
  readonly dims: readonly Dim[];
}

/** What shape inference may ask about the graph so far. */
export interface InferenceScope {
  typeOf(value: string): ValueType;
  /** The value's tensor when it is known before the graph runs, else undefined. */
  constantOf(value: string): Tensor | undefined;
  /** The elements of a small value that follow from constants and shapes, possibly in terms of symbols, else undefined. */
  elementsOf(value: string): readonly Dim[] | undefined;
}

/** Collects inputs, initializers, nodes and outputs; `build` gives the graph. Names are unique; `fresh` makes one. */
export class GraphBuilder implements InferenceScope {
  readonly #name: string;
  readonly #prefix: string;
  readonly #opsets: Record<string, number> = { '': OPSET };
  readonly #types = new Map<string, ValueType>();
  readonly #inputs: ValueInfo[] = [];
  readonly #outputs: string[] = [];
  readonly #initializers = new Map<string, Tensor>();
  readonly #constants = new Map<string, string>();
  readonly #constantNodes = new Map<string, Tensor>();
  readonly #elements = new Map<string, readonly Dim[]>();
  readonly #nodes: Node[] = [];
  readonly #hints: Hint[] = [];
  readonly #nodeNames = new Set<string>();
  readonly #reserved = new Set<string>();
  #counter = 0;

  /** Names that `fresh` makes begin with `prefix`: a body's differ so from those of the graph around it. */
  constructor(name: string, prefix = '') {
    this.#name = name;
    this.#prefix = prefix;
  }

  /** A value or node name that is not taken, starting with `stem`. */
  fresh(stem: string): string {
    const whole = `${this.#prefix}${stem}`;
    let name = whole;
    while (this.#types.has(name) || this.#nodeNames.has(name) || this.#reserved.has(name))
      name = `${whole}_${++this.#counter}`;
    return name;
  }

  /** Keeps names for values that are added later: `fresh` gives none of them away. */
  reserve(names: Iterable<string>): void {
    for (const name of names) this.#reserved.add(name);
  }

  has(value: string): boolean {
    return this.#types.has(value);
  }

  typeOf(value: string): ValueType {
    const type = this.#types.get(value);
    if (!type) throw new EngineError('bad-graph', `graph ${this.#name}: no value is called "${value}"`);
    return type;
  }

  dimsOf(value: string): readonly Dim[] {
    return this.typeOf(value).dims;
  }

  constantOf(value: string): Tensor | undefined {
    const known = this.#initializers.get(value) ?? this.#constantNodes.get(value);
    if (known) return known;
    const elements = this.#elements.get(value);
    const { dtype, dims } = this.typeOf(value);
    if (dtype !== 'int64' || !elements?.every((element) => typeof element === 'number')) return undefined;
    const sizes = dims.filter((dim) => typeof dim === 'number');
    return sizes.length === dims.length ? int64(elements, sizes) : undefined;
  }

  elementsOf(value: string): readonly Dim[] | undefined {
    const followed = this.#elements.get(value);
    if (followed) return followed;
    const initializer = this.#initializers.get(value);
    return initializer && elementsOfTensor(initializer);
  }

  /** Declares a graph input. Returns its name. */
  input(name: string, dtype: DType, dims: readonly Dim[]): string {
    const canonical = dims.map(canonicalDim);
    this.#declare(name, { dtype, dims: canonical });
    this.#inputs.push({ name, dtype, dims: canonical });
    return name;
  }

  /** Makes a value of the graph around a body known to it, by its own name. */
  outer(name: string, type: ValueType): string {
    if (!this.#types.has(name)) this.#declare(name, type);
    return name;
  }

  /** Adds an initializer under `name`. Returns its name. */
  initializer(name: string, value: Tensor): string {
    this.#declare(name, { dtype: value.dtype, dims: value.dims });
    this.#initializers.set(name, value);
    return name;
  }

  /** A constant under a name of the builder's choosing; equal small constants share one initializer. */
  constant(value: Tensor, stem = 'c'): string {
    const key =
      value.data.length <= 64
        ? `${value.dtype}[${value.dims.join()}]:${Array.from(value.data as ArrayLike<unknown>, textOf).join()}`
        : '';
    const known = key ? this.#constants.get(key) : undefined;
    if (known !== undefined) return known;
    const name = this.initializer(this.fresh(stem), value);
    if (key) this.#constants.set(key, name);
    return name;
  }

  /** A float32 scalar constant (`dims` []). */
  scalar(value: number): string {
    return this.constant(float32([value], []), 'k');
  }

  /** A one-dimensional int64 constant, as ONNX takes shapes, axes, starts and pads. */
  integers(values: readonly number[]): string {
    return this.constant(int64(values), 'i');
  }

  /** Adds a node with one output and returns the output's name. `options.output` fixes it, else it is made from the operator's name. */
  add(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    options: { output?: string; domain?: string } = {},
  ): string {
    const output = options.output ?? this.fresh(op.toLowerCase());
    this.addNode({ op, domain: options.domain ?? '', inputs, outputs: [output], attributes });
    return output;
  }

  /** Adds a node with the given outputs ('' leaves one out). Its name is made when it has none. Throws EngineError on a bad shape. */
  addNode(node: Omit<Node, 'name'> & { readonly name?: string }): readonly string[] {
    const name =
      node.name !== undefined && node.name !== '' && !this.#nodeNames.has(node.name) ? node.name : this.fresh(node.op);
    const whole: Node = { ...node, name };
    const types = inferNode(whole, this, this.#opsets[whole.domain] ?? 1);
    this.#nodeNames.add(name);
    whole.outputs.forEach((output, index) => {
      const type = types[index];
      if (output === '') return;
      if (!type)
        throw new EngineError('bad-graph', `graph ${this.#name}: node ${name} (${whole.op}) has no output ${index}`);
      this.#declare(output, { dtype: type.dtype, dims: type.dims });
      if (type.elements) this.#elements.set(output, type.elements);
    });
    const constant = whole.domain === '' && whole.op === 'Constant' ? tensorOfConstant(whole) : undefined;
    if (constant && whole.outputs[0]) this.#constantNodes.set(whole.outputs[0], constant);
    this.#nodes.push(whole);
    return whole.outputs;
  }

  /** Adds a node whose outputs' types the caller knows: an engine's own operator, or shapes that inference cannot follow. */
  addTyped(node: Omit<Node, 'name'>, types: readonly ValueType[]): readonly string[] {
    const whole: Node = { ...node, name: this.fresh(node.op) };
    this.#nodeNames.add(whole.name);
    whole.outputs.forEach((output, index) => this.#declare(output, types[index] as ValueType));
    this.#nodes.push(whole);
    return whole.outputs;
  }

  /** Says that a value equals one operation on others. */
  hint(hint: Hint): void {
    this.#hints.push(hint);
  }

  /** Splits `value` along `axis` into parts of the given sizes. */
  split(value: string, axis: number, sizes: readonly number[]): readonly string[] {
    const outputs: string[] = [];
    for (let index = 0; index < sizes.length; index++) outputs.push(this.fresh(`${value}_part${index}`));
    return this.addNode({
      op: 'Split',
      domain: '',
      inputs: [value, this.integers(sizes)],
      outputs,
      attributes: { axis: { kind: 'int', value: axis } },
    });
  }

  /** Marks a value as a graph output; it may be an input (then an Identity is put between) and may be renamed so. */
  output(value: string, name = value): string {
    let result = value;
    if (name !== value || this.#inputs.some((input) => input.name === value) || this.#initializers.has(value)) {
      result = this.add('Identity', [value], {}, { output: name === value ? this.fresh(`${value}_out`) : name });
    }
    this.#outputs.push(result);
    return result;
  }

  /** Uses another operator set of a domain, for a graph that came from a file or for an engine's own operators. */
  useOpset(domain: string, version: number): void {
    this.#opsets[domain] = version;
  }

  /** Operator set versions by domain. */
  get opsets(): Readonly<Record<string, number>> {
    return this.#opsets;
  }

  /** Every node so far, in order. */
  get nodes(): readonly Node[] {
    return this.#nodes;
  }

  /** The finished graph. Nodes, inputs' declarations and initializers that no output needs are left out when `prune` is given; declared inputs stay. */
  build(options: { readonly prune?: boolean; readonly metadata?: Readonly<Record<string, string>> } = {}): Graph {
    const nodes = options.prune === true ? this.#neededNodes() : [...this.#nodes];
    const read = new Set([...nodes.flatMap(readsOf), ...this.#outputs]);
    const initializers = new Map([...this.#initializers].filter(([name]) => options.prune !== true || read.has(name)));
    const present = new Set([...this.#inputs.map(({ name }) => name), ...initializers.keys()]);
    for (const { outputs } of nodes) for (const output of outputs) present.add(output);
    const hints = this.#hints.filter(({ inputs, output }) => [output, ...inputs].every((value) => present.has(value)));
    return {
      name: this.#name,
      opsets: { ...this.#opsets },
      inputs: [...this.#inputs],
      outputs: this.#outputs.map((name) => ({ name, ...this.typeOf(name) })),
      initializers,
      nodes,
      metadata: options.metadata ?? {},
      ...(hints.length > 0 && { hints }),
    };
  }

  #neededNodes(): Node[] {
    const needed = new Set(this.#outputs);
    const kept: Node[] = [];
    for (const node of this.#nodes.toReversed()) {
      if (!node.outputs.some((output) => needed.has(output))) continue;
      for (const value of readsOf(node)) needed.add(value);
      kept.push(node);
    }
    return kept.toReversed();
  }

  #declare(name: string, type: ValueType): void {
    if (name === '' || this.#types.has(name))
      throw new EngineError('bad-graph', `graph ${this.#name}: the value name "${name}" is used twice or empty`);
    this.#types.set(name, type);
  }
}

/** A number as text that tells -0 from 0. */
function textOf(element: unknown): string {
  return Object.is(element, -0) ? '-0' : String(element);
}
