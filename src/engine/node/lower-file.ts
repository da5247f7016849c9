// A graph's lowered form as files: whole, or in units of records that are taken one after another or side by side.

import { type InUnits, inUnits, type Lowered, lowerToBlocks, lowerToWinograd, prepared } from '../../lower/index.ts';
import { type Graph, type ValueInfo, writeModel } from '../../onnx/index.ts';
import { elementCount } from '../../tensor/index.ts';
import { isBatched } from './check-run.ts';
import type { LoweredFile } from './messages.ts';

/** Bytes of values that a unit may make: all of them, of which about a fifth live at once. */
const unitBytes = 6 * 2 ** 30;
/** From this size on a unit is about as large as a batch, and the graph is taken whole: a unit costs its own copies of the sums. */
const unitsWorthwhile = 64;
/** Records in a unit that one thread takes: few, so that threads share a batch evenly and what a unit makes stays in their caches. */
const spreadRecords = 16;
/** Above this, what units read and add up is more than one thread should hand to another at every step. */
const spreadBytesMax = 32 << 20;

/** What an engine can lower a graph with. */
export interface LoweringChoice {
  /** Channels in a block of the provider's image kernels. */
  readonly block: number;
  /** Wide convolutions of 3 x 3 go into Winograd's transformed domain. */
  readonly winograd: boolean;
  /** There are threads for units. */
  readonly spread: boolean;
}

/** The lowered graph; undefined when there is nothing in it that a lowering does. */
export function lowerFile(graph: Graph, { block, winograd, spread }: LoweringChoice): LoweredFile | undefined {
  const paddable = graph.metadata['records'] === 'independent' && haveOneBatch(graph);
  const transformed = winograd ? lowerToWinograd(graph) : undefined;
  if (transformed) return wholeFile(transformed, paddable);
  const parts = paddable ? inUnits(graph) : undefined;
  const unit = parts && unitOf(parts, block, spread);
  if (!parts || !unit) return wholeFile(lowerToBlocks(graph, block), paddable);
  const lowered = lowerToBlocks(parts.records, block);
  if (!lowered) return undefined;
  const split = prepared(lowered.graph, lowered.typeOf);
  const records = split?.records ?? lowered.graph;
  const units = {
    ...unit,
    inputs: names(records.inputs),
    sums: names(parts.sums),
    ...(split && { prepare: writeModel(split.prepare) }),
    prepareInputs: names(split?.prepare.inputs ?? []),
    rest: writeModel(parts.rest),
    restInputs: names(parts.rest.inputs),
  };
  return { bytes: writeModel(records), recordsMultiple: lowered.recordsMultiple, paddable, units };
}

function wholeFile(lowered: Lowered | undefined, paddable: boolean): LoweredFile | undefined {
  return lowered && { bytes: writeModel(lowered.graph), recordsMultiple: lowered.recordsMultiple, paddable };
}

/** Records in a unit, whole blocks, and whether units are spread over threads; undefined when the graph is taken whole. */
function unitOf(
  { records, recordBytes }: InUnits,
  block: number,
  spread: boolean,
): { readonly records: number; readonly spread: boolean } | undefined {
  const bytes = records.inputs
    .filter((input) => !isBatched(input))
    .reduce((sum, { dims }) => sum + 4 * elementCount(dims as readonly number[]), 0);
  if (spread && bytes <= spreadBytesMax) return { records: Math.max(block, spreadRecords), spread: true };
  const most = Math.max(block, Math.floor(unitBytes / Math.max(1, recordBytes) / block) * block);
  return most < unitsWorthwhile ? { records: most, spread: false } : undefined;
}

/** Whether everything that comes or goes a record at a time does so in the one batch N. */
function haveOneBatch({ inputs, outputs }: Graph): boolean {
  return [...inputs, ...outputs].every(({ dims }) =>
    dims.every((dim, axis) => typeof dim === 'number' || (axis === 0 && dim === 'N')),
  );
}

function names(values: readonly ValueInfo[]): string[] {
  return values.map(({ name }) => name);
}
