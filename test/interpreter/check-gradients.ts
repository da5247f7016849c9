// The proof of a gradient graph: finite differences of the forward graph in float64, and the same gradient graph in ONNX Runtime.

import { differentiate } from '../../src/autodiff/index.ts';
import type { Graph, Node } from '../../src/onnx/index.ts';
import { largestDifference } from './compare.ts';
import { interpret, type Feed } from './interpret.ts';
import { runOnRuntime } from './on-runtime.ts';
import { ordinary, uniformFrom, type GradientCase, type Scenario } from './scenario.ts';
import { f64 } from './values.ts';

/** A forward graph, the graph of its gradients, and the numbers for both. */
export interface Differentiated {
  readonly forward: Graph;
  /** Outputs: the forward graph's, and `gradient:X` for each X of `wrt`. */
  readonly backward: Graph;
  /** `backward` with every value as an output of the type that inference gave it. */
  readonly typed: Graph;
  readonly wrt: readonly string[];
  readonly feeds: Readonly<Record<string, Feed>>;
  /** Random gradients of the forward graph's outputs, by output. */
  readonly seeds: Readonly<Record<string, Feed>>;
  /** The forward operators that a gradient has to pass. */
  readonly passed: ReadonlySet<string>;
}

/** The operators on a way from `wrt` to an output, over float values only. */
function operatorsBetween(graph: Graph, wrt: readonly string[], isFloat: (value: string) => boolean): Set<string> {
  const reached = new Set(wrt);
  const onTheWay = (node: Node): boolean => node.inputs.some((name) => reached.has(name));
  for (const node of graph.nodes) {
    if (onTheWay(node))
      node.outputs.filter((name) => name !== '' && isFloat(name)).forEach((name) => reached.add(name));
  }
  const wanted = new Set(graph.outputs.map(({ name }) => name));
  const passed = new Set<string>();
  for (const node of graph.nodes.toReversed()) {
    if (!onTheWay(node) || !node.outputs.some((name) => wanted.has(name) && reached.has(name))) continue;
    passed.add(node.op);
    node.inputs.filter((name) => reached.has(name)).forEach((name) => wanted.add(name));
  }
  return passed;
}

/** Builds a case's forward graph and appends its gradients, those of all inputs added up in float64 if `inDouble`. */
export function differentiated(scenario: Scenario, { build }: GradientCase, inDouble = false): Differentiated {
  const { builder } = scenario;
  const values = [build(scenario)].flat();
  const wrt = scenario.wanted();
  const outputs = values.map((value) => builder.output(value));
  const forward = builder.build();
  const seeds: Record<string, Feed> = {};
  const seedOf = new Map<string, string>();
  const feeds: Record<string, Feed> = { ...scenario.feeds };
  const results = interpret(forward, scenario.feeds);
  for (const output of outputs) {
    const seed = builder.input(`seed:${output}`, 'float32', builder.dimsOf(output));
    seedOf.set(output, seed);
    feeds[seed] = seeds[output] = scenario.numbers(results[output]!.dims, ordinary);
  }
  const gradients = differentiate(builder, seedOf, wrt, new Set(inDouble ? wrt : []));
  for (const value of wrt) builder.output(gradients.get(value)!, `gradient:${value}`);
  const passed = operatorsBetween(forward, wrt, (value) => builder.typeOf(value).dtype === 'float32');
  const backward = builder.build({ prune: true });
  const made = backward.nodes.flatMap((node) => node.outputs.filter((name) => name !== ''));
  const typed = { ...backward, outputs: made.map((name) => ({ name, ...builder.typeOf(name) })) };
  return { forward, backward, typed, wrt, feeds, seeds, passed };
}

/** L = Σ seed · output over the forward graph's outputs. */
function seededSum(
  forward: Graph,
  seeds: Readonly<Record<string, Feed>>,
  feeds: Readonly<Record<string, Feed>>,
): number {
  const outputs = interpret(forward, feeds);
  let sum = 0;
  for (const [name, seed] of Object.entries(seeds))
    seed.data.forEach((weight, index) => (sum += weight * outputs[name]!.data[index]!));
  return sum;
}

const step = 1e-6;
/** Elements that are checked one by one; a larger input is sampled, and checked along random directions. */
const elementsMax = 24;
const tolerance = 1e-6;

/** The directions along which an input is moved: single elements, and all elements at once. */
function directionsOf(count: number): Float64Array[] {
  const uniform = uniformFrom(count);
  const chosen =
    count <= elementsMax
      ? Array.from({ length: count }, (_, element) => element)
      : Array.from({ length: elementsMax }, () => Math.floor(uniform() * count));
  const single = chosen.map((element) => new Float64Array(count).with(element, 1));
  const whole = [0, 1].map(() => Float64Array.from(ordinary(count, uniform)));
  return count <= elementsMax ? single : [...single, ...whole];
}

/**
 * Throws unless every gradient equals the central difference of the forward graph along each direction, and every value on the
 * way has the shape that was inferred for it.
 */
export function checkFiniteDifferences({ forward, backward, typed, wrt, feeds, seeds }: Differentiated): void {
  interpret(typed, feeds);
  const outputs = interpret(backward, feeds);
  for (const value of wrt) {
    const { dims, data } = feeds[value]!;
    const gradient = outputs[`gradient:${value}`]!;
    if (gradient.dims.join() !== dims.join())
      throw new Error(`the gradient of ${value} is [${gradient.dims.join(', ')}], not [${dims.join(', ')}]`);
    for (const direction of directionsOf(data.length)) {
      const moved = (by: number): number => {
        const there = f64(
          dims,
          data.map((element, index) => element + by * direction[index]!),
        );
        return seededSum(forward, seeds, { ...feeds, [value]: there });
      };
      const expected = (moved(step) - moved(-step)) / (2 * step);
      let [got, size] = [0, 1];
      gradient.data.forEach((element, index) => {
        got += element * direction[index]!;
        size = Math.max(size, Math.abs(element));
      });
      if (!(Math.abs(got - expected) <= tolerance * size * Math.sqrt(direction.filter((d) => d !== 0).length)))
        throw new Error(
          `${value}: the gradient along ${describe(direction)} is ${got}, finite differences give ${expected}`,
        );
    }
  }
}

function describe(direction: Float64Array): string {
  const moved = Array.from(direction).flatMap((part, index) => (part === 0 ? [] : [index]));
  return moved.length === 1 ? `element ${moved[0]}` : 'a random direction';
}

/** Throws unless ONNX Runtime, in float32, gives the interpreter's outputs to `relative` of each tensor's largest element. */
export async function checkOnRuntime(
  graph: Graph,
  feeds: Readonly<Record<string, Feed>>,
  relative = 1e-4,
): Promise<void> {
  const expected = interpret(graph, feeds);
  const got = await runOnRuntime(graph, feeds);
  for (const { name } of graph.outputs) {
    const difference = largestDifference(got[name]!, expected[name]!, 1);
    if (!(difference <= relative)) throw new Error(`${name}: ONNX Runtime is ${difference} away from the interpreter`);
  }
}
