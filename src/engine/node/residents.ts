// The tensors that an engine holds by name, each with the spare buffer that its next value will be written into.
//
// A large kept output goes to the spare while the run reads the present value; then the two change places. So a graph may read its
// parameter in as many nodes as it likes, and a run that fails half way has touched nothing. Writing in place would save that one
// buffer and no time, because ONNX Runtime 1.30 copies every output for JavaScript even when it is given a tensor to fill
// (20 million float32 parameters, p - lr·g, two threads, median of 30 runs: a new tensor each run 38 ms, spare 34 ms, in place
// 30 ms with the allocator settings of docs/adr/0001; 56, 60 and 59 ms without).

import type { Tensor as OrtTensor } from 'onnxruntime-node';
import { zeros } from '../../tensor/index.ts';
import { toOrt } from './ort-tensor.ts';
import { release } from './release.ts';

/** Smaller tensors are not kept to be written again: it costs more than it saves. */
export const LARGE_BYTES_MIN = 1 << 16;

interface Entry {
  readonly tensor: OrtTensor;
  /** No one else sees the tensor's buffer, so it may be written again or given back. */
  readonly sole: boolean;
  readonly spare: OrtTensor | undefined;
}

/** A value that a run has made for a resident. */
export interface Made {
  readonly name: string;
  /** What ONNX Runtime returned. */
  readonly result: OrtTensor;
  /** The spare that it was told to fill, if any. */
  readonly spare: OrtTensor | undefined;
  /** The output has the same shape in every run, so the value it replaces can be the next spare. */
  readonly steady: boolean;
}

/** Named tensors and their spares, with a count of their bytes. */
export class Residents {
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  /** Bytes of all tensors and spares. */
  get bytes(): number {
    return this.#bytes;
  }

  get(name: string): OrtTensor | undefined {
    return this.#entries.get(name)?.tensor;
  }

  /** Bytes that are counted for a name; 0 when it is not resident. */
  bytesOf(name: string): number {
    const entry = this.#entries.get(name);
    return entry ? sizeOf(entry.tensor) + (entry.spare ? sizeOf(entry.spare) : 0) : 0;
  }

  /** Sets a tensor. `sole` says that no one else sees its buffer; else it is never written and never given back. */
  set(name: string, tensor: OrtTensor, sole = false): void {
    this.drop(name);
    this.#store(name, { tensor, sole, spare: undefined });
  }

  /**
   * A buffer of exactly this type and shape to write the name's next value into, if the value is large and takes the place of one like it.
   * A new one the first time: else the first run's outputs would lie in the runtime's memory, which grows by doubling and never shrinks.
   */
  spareOf(name: string, dtype: string, dims: readonly unknown[]): OrtTensor | undefined {
    const entry = this.#entries.get(name);
    if (!entry) return undefined;
    const same = (tensor: OrtTensor): boolean =>
      tensor.type === dtype &&
      tensor.dims.length === dims.length &&
      tensor.dims.every((dim, axis) => dim === dims[axis]);
    if (entry.spare) return same(entry.spare) ? entry.spare : undefined;
    const { tensor } = entry;
    if (dtype !== 'float32' || !same(tensor) || sizeOf(tensor) < LARGE_BYTES_MIN) return undefined;
    return toOrt(zeros(dtype, tensor.dims));
  }

  /** Bytes that `accept` would add to the count. */
  growthOf(made: Made): number {
    const recycled = recyclable(this.#entries.get(made.name), made);
    return sizeOf(made.spare ?? made.result) + (recycled ? sizeOf(recycled) : 0) - this.bytesOf(made.name);
  }

  /** Makes a run's result the resident. */
  accept(made: Made): void {
    const before = this.#entries.get(made.name);
    const tensor = made.spare ?? made.result;
    const recycled = recyclable(before, made);
    this.#forget(made.name);
    this.#store(made.name, { tensor, sole: true, spare: recycled });
    if (made.spare && bytesUnder(made.result) !== bytesUnder(made.spare)) release(made.result.data);
    if (before?.sole === true && !recycled) release(before.tensor.data);
    if (before?.spare && before.spare !== made.spare) release(before.spare.data);
  }

  /** Forgets a tensor and gives its memory back where no one else sees it. */
  drop(name: string): void {
    const before = this.#entries.get(name);
    this.#forget(name);
    if (before?.sole === true) release(before.tensor.data);
    if (before?.spare) release(before.spare.data);
  }

  clear(): void {
    for (const name of this.#entries.keys()) this.drop(name);
  }

  #store(name: string, entry: Entry): void {
    this.#entries.set(name, entry);
    this.#bytes += this.bytesOf(name);
  }

  #forget(name: string): void {
    this.#bytes -= this.bytesOf(name);
    this.#entries.delete(name);
  }
}

// Small tensors are made anew each run: for them a spare costs more (about 1 us each) than it saves.
function recyclable(before: Entry | undefined, made: Made): OrtTensor | undefined {
  return before?.sole === true && made.steady && sizeOf(before.tensor) >= LARGE_BYTES_MIN ? before.tensor : undefined;
}

function bytesUnder(tensor: OrtTensor): ArrayBufferLike {
  return (tensor.data as Float32Array).buffer;
}

function sizeOf(tensor: OrtTensor): number {
  return (tensor.data as Float32Array).byteLength;
}
