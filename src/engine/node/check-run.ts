// Holds a run against its graph's declaration before ONNX Runtime sees it, so that a caller's mistake is named in the caller's words.

import { EngineError } from '../../base/index.ts';
import type { Dim, ValueInfo } from '../../onnx/index.ts';
import type { DType } from '../../tensor/index.ts';

/** What a run is checked against. */
export interface Declaration {
  readonly name: string;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly optional: readonly string[];
}

/** Whether a value has a row for each record. */
export function isBatched({ dims }: ValueInfo): boolean {
  return typeof dims[0] === 'string';
}

/** What is known of a tensor that a run is given. */
export interface Given {
  readonly dtype: DType;
  readonly dims: readonly number[];
}

/**
 * Checks names, dtypes and dims of all inputs. A symbolic dimension has one size in the whole run.
 * Throws EngineError `run-failed` that names graph, input, expected and got.
 */
export function checkInputs(graph: Declaration, given: ReadonlyMap<string, Given>): void {
  const symbols = new Map<string, { readonly size: number; readonly input: string }>();
  let found = 0;
  for (const input of graph.inputs) {
    const value = given.get(input.name);
    if (!value) {
      if (graph.optional.includes(input.name)) continue;
      throw failed(graph, `input "${input.name}" is missing; give it in feeds or resident`);
    }
    found++;
    if (value.dtype !== input.dtype)
      throw failed(graph, `input "${input.name}": expected ${input.dtype}, got ${value.dtype}`);
    if (!fits(input.dims, value.dims))
      throw failed(graph, `input "${input.name}": expected ${shape(input.dims)}, got ${shape(value.dims)}`);
    input.dims.forEach((dim, axis) => {
      const size = value.dims[axis];
      if (typeof dim === 'number' || dim === '' || size === undefined) return;
      const known = symbols.get(dim);
      if (!known) symbols.set(dim, { size, input: input.name });
      else if (known.size !== size)
        throw failed(
          graph,
          `input "${input.name}": expected ${shape(input.dims)} with ${dim} = ${known.size} as in "${known.input}", got ${shape(value.dims)}`,
        );
    });
  }
  if (found === given.size) return;
  const names = graph.inputs.map((input) => input.name);
  const extra = [...given.keys()].filter((name) => !names.includes(name));
  throw failed(graph, `no input is called "${extra.join('", "')}"; its inputs are ${names.join(', ')}`);
}

/** Checks that every output that is asked for exists. Throws EngineError `run-failed`. */
export function checkOutputs(graph: Declaration, asked: Iterable<string>): void {
  for (const name of asked) {
    if (graph.outputs.some((output) => output.name === name)) continue;
    const names = graph.outputs.map((output) => output.name).join(', ');
    throw failed(graph, `no output is called "${name}"; its outputs are ${names}`);
  }
}

/** EngineError `run-failed` about a graph. */
export function failed(graph: { readonly name: string }, problem: string, cause?: unknown): EngineError {
  return new EngineError('run-failed', `graph ${graph.name}: ${problem}`, cause === undefined ? {} : { cause });
}

function fits(declared: readonly Dim[], got: readonly number[]): boolean {
  return declared.length === got.length && declared.every((dim, axis) => typeof dim === 'string' || dim === got[axis]);
}

function shape(dims: readonly Dim[]): string {
  return `[${dims.join(', ')}]`;
}
