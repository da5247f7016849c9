// Which lowered forms have been tried against their graphs before. A trial of a network of 20 million parameters takes seconds, for which a
// study would stand still at each start; its outcome is the same for the same bytes, runtime and processor.

import { createHash } from 'node:crypto';
import { cpus } from 'node:os';
import type { EngineInfo } from '../engine.ts';
import type { GraphFile, LoweredFile } from './messages.ts';

/** The forms that have passed, by their digests. It is trusted: a digest that is there is not tried again. */
export interface TriedForms {
  has(digest: string): boolean;
  /** Resolves when it is kept. */
  add(digest: string): Promise<void>;
}

/**
 * SHA-256, in hexadecimal, over all that a trial's outcome depends on: the bytes of the graph and of its lowered form, how that is run, the
 * runtime and its settings, and the processor.
 */
export function digestOfForm({ bytes, inputs, outputs }: GraphFile, form: LoweredFile, info: EngineInfo): string {
  const { units } = form;
  const files = [bytes, form.bytes, units?.prepare, units?.rest].map((file) => file ?? new Uint8Array());
  const about = {
    trial: 1,
    files: files.map((file) => createHash('sha256').update(file).digest('hex')),
    form: { ...form, bytes: undefined, units: units && { ...units, prepare: undefined, rest: undefined } },
    inputs,
    outputs,
    engine: info,
    processor: [cpus()[0]?.model, process.platform, process.arch],
  };
  return createHash('sha256').update(JSON.stringify(about)).digest('hex');
}
