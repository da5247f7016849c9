// Which buffers move with a message to or from the engine's thread.

import { allocate, cloneTensor, type Tensor } from '../../tensor/index.ts';
import type { Tensors } from './messages.ts';

/** Every buffer of the tensors, once. */
export function buffersOf(sets: readonly Tensors[]): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>();
  for (const tensors of sets) for (const value of Object.values(tensors)) buffers.add(value.data.buffer);
  return [...buffers];
}

/**
 * The tensors with buffers that may be moved away: their own with `transfer`, else copies. A copy is made even where posting would
 * make one, because posting a view copies the whole buffer under it, twice.
 */
export function movable(tensors: Readonly<Record<string, Tensor>>, transfer: boolean): Tensors {
  const result: Tensors = {};
  for (const [name, { dtype, dims, data }] of Object.entries(tensors)) {
    // No elements: an empty batch, or a buffer that was moved away before, which the engine then names as too short.
    const moved = data.length === 0 ? allocate(dtype, 0) : transfer ? data : data.slice();
    result[name] = { dtype, dims: [...dims], data: moved };
  }
  return result;
}

/** ONNX Runtime's sums may go in another order over a tensor that begins elsewhere, so all begin where a buffer of their own would. */
const alignment = 16;

/** The tensors for a run that ends before anybody can change them: they need buffers of their own only where they begin as no buffer does. */
export function aligned(tensors: Readonly<Record<string, Tensor>>): Tensors {
  const result: Tensors = {};
  for (const name in tensors) {
    const value = tensors[name] as Tensor;
    result[name] = value.data.byteOffset % alignment === 0 ? value : cloneTensor(value);
  }
  return result;
}
