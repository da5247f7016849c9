// The weights and batches of make.py's `ct-cnn` run, from the same hash of a counter.

/** `count` numbers from 0 to 1: Murmur3's finaliser of stream·2^20 + index, over 2^32. */
function uniform(stream: number, count: number): Float64Array {
  return Float64Array.from({ length: count }, (_, index) => {
    let h = (stream * 2 ** 20 + index) >>> 0;
    h ^= h >>> 16;
    h = Math.imul(h, 0x85ebca6b);
    h ^= h >>> 13;
    h = Math.imul(h, 0xc2b2ae35);
    h ^= h >>> 16;
    return (h >>> 0) / 2 ** 32;
  });
}

/** Weights `dims` of layer `stream`, U(-b, b) with b = 1/√fan-in. */
export function startWeights(stream: number, dims: readonly number[]): Float32Array<ArrayBuffer> {
  const count = dims.reduce((product, dim) => product * dim, 1);
  const bound = 1 / Math.sqrt(count / dims[0]!);
  return Float32Array.from(uniform(stream, count), (value) => (2 * value - 1) * bound);
}

const size = 64;

/** The images [batch, 1, 64, 64] and labels [batch] of a step. */
export function batchOf(step: number, batch: number): { x: Float32Array; labels: BigInt64Array } {
  const pixels = uniform(100 + 2 * step, batch * size * size);
  const draws = uniform(101 + 2 * step, 2 * batch);
  const labels = new BigInt64Array(batch);
  for (let record = 0; record < batch; record++) {
    const one = draws[record]! < 0.5;
    labels[record] = BigInt(one !== draws[batch + record]! < 0.1 ? 1 : 0);
    for (let row = 0; row < size; row++) {
      for (let column = 0; column < size; column++) {
        const at = (record * size + row) * size + column;
        const inSquare = row >= 20 && row < 36 && column >= 24 && column < 44;
        const brightened = one && inSquare ? 0.5 * pixels[at]! + 0.5 : pixels[at]!;
        pixels[at] = row < 10 || column >= 52 ? 0 : 3 * (brightened - 0.5);
      }
    }
  }
  return { x: Float32Array.from(pixels), labels };
}
