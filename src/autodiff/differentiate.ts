// Reverse-mode differentiation of an ONNX graph into ONNX nodes. The forward nodes are walked backwards once; each operator's rule
// (rules/) turns the gradients of its outputs into those of its inputs. The result is again a plain graph of standard operators.

import { EngineError } from '../base/index.ts';
import { sameDims, type GraphBuilder, type Node } from '../onnx/index.ts';
import { Ops } from './ops.ts';
import { noRule, type RuleContext } from './rule.ts';
import { ruleFor } from './rules/table.ts';

/** Operators that only pass elements on, of whatever type. */
const passesOn = new Set(['Identity', 'Reshape', 'Split', 'Squeeze', 'Unsqueeze']);

/** `values` and what is only passed on from them. */
function passedOnFrom(nodes: readonly Node[], values: Iterable<string>): Set<string> {
  const found = new Set(values);
  for (const node of nodes)
    if (passesOn.has(node.op) && found.has(node.inputs[0] ?? '')) for (const output of node.outputs) found.add(output);
  return found;
}

/** The values through which a change of `wrt` can reach: float outputs of nodes that read such a value, and `wrt` itself. */
function reachedFrom(builder: GraphBuilder, nodes: readonly Node[], wrt: readonly string[]): Set<string> {
  const reached = new Set(wrt);
  for (const node of nodes) {
    if (!node.inputs.some((input) => reached.has(input))) continue;
    for (const output of node.outputs) {
      if (output !== '' && builder.typeOf(output).dtype.startsWith('float')) reached.add(output);
    }
  }
  return reached;
}

/**
 * Appends to `builder` the nodes that compute, for each value of `wrt`, the derivative of Σ seed·value over the seeds, and returns
 * the gradients' names by `wrt` value; each has its value's shape. Only nodes that were there before are differentiated; what does not lead from
 * `wrt` to a seed is left out; a value that no seed depends on gets zeros. Several uses of a value add up. `wrt` may name inputs, initializers and values between: the gradient
 * of the latter is the total one. Gradients are float32, but for those of `inDouble`; on the way a float64 value's is float64.
 *
 * @param inDouble parameters (values that do not depend on the batch) whose gradients are added up over records in float64 and stay float64,
 * so that a sum over parts of a batch, rounded to float32 once, has the bits of the sum over the whole batch. Convolutions and products with
 * at most 2^14 weights and what is only added or multiplied keep this; other operators' gradients are float32 numbers given as float64.
 * @param seeds value → the gradient of that value, of its shape (one more value of the graph)
 * @throws EngineError `no-gradient-rule` for an operator on the way that has none, `bad-graph` for a `wrt` that is not float32 or a seed of another shape
 */
export function differentiate(
  builder: GraphBuilder,
  seeds: ReadonlyMap<string, string>,
  wrt: readonly string[],
  inDouble: ReadonlySet<string> = new Set(),
): Map<string, string> {
  const ops = new Ops(builder);
  const nodes = [...builder.nodes];
  for (const value of wrt) {
    const { dtype } = builder.typeOf(value);
    if (dtype !== 'float32')
      throw new EngineError('bad-graph', `value "${value}" is ${dtype}: only float32 values have a gradient`);
  }
  const wanted = new Set(wrt);
  const double = passedOnFrom(nodes, inDouble);
  const reached = reachedFrom(builder, nodes, wrt);
  const producers = new Map(nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  const parts = new Map<string, string[]>();
  const contribute = (value: string, gradient: string): void => {
    const list = parts.get(value);
    if (list) list.push(gradient);
    else parts.set(value, [gradient]);
  };
  const sums = new Map<string, string>();
  /** What a rule reckons in: a gradient has its value's own width, so that the two can be multiplied. */
  const floatOf = (value: string) => (builder.typeOf(value).dtype === 'float64' ? 'float64' : 'float32');
  const gradientOf = (value: string): string | undefined => {
    const known = sums.get(value);
    if (known !== undefined) return known;
    const list = parts.get(value);
    if (!list) return undefined;
    const sum = ops.total(list.map((part) => ops.cast(part, double.has(value) ? 'float64' : floatOf(value))));
    sums.set(value, sum);
    return sum;
  };

  for (const [value, seed] of seeds) {
    const [expected, got] = [builder.dimsOf(value), builder.dimsOf(seed)];
    if (!sameDims(expected, got))
      throw new EngineError(
        'bad-graph',
        `the gradient of "${value}" must be [${expected.join(', ')}], but "${seed}" is [${got.join(', ')}]`,
      );
    if (reached.has(value)) contribute(value, seed);
  }

  for (const node of nodes.toReversed()) {
    if (!node.inputs.some((input) => reached.has(input))) continue;
    const gradients = node.outputs.map((output) => {
      const gradient = reached.has(output) ? gradientOf(output) : undefined;
      return gradient === undefined || passesOn.has(node.op) ? gradient : ops.cast(gradient, floatOf(output));
    });
    const first = gradients.find((gradient) => gradient !== undefined);
    if (first === undefined) continue;
    const rule = ruleFor(node);
    if (!rule) throw noRule(node, 'this operator has no gradient rule');
    const context: RuleContext = {
      node,
      builder,
      ops,
      gradients,
      gradient: gradients[0] ?? first,
      needs: (input) => reached.has(node.inputs[input] ?? ''),
      inDouble: (input) => double.has(node.inputs[input] ?? ''),
      producerOf: (value) => (wanted.has(value) ? undefined : producers.get(value)),
      contribute,
      refuse: (reason) => {
        throw noRule(node, reason);
      },
    };
    rule(context).forEach((gradient, index) => {
      const input = node.inputs[index];
      if (gradient !== undefined && input !== undefined && reached.has(input)) contribute(input, gradient);
    });
  }

  const typed = (value: string, gradient: string) => (double.has(value) ? ops.cast(gradient, 'float64') : gradient);
  return new Map(wrt.map((value) => [value, typed(value, gradientOf(value) ?? ops.zerosLike(value))]));
}
