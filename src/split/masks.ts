// Dropout's masks. They are counted, not drawn in sequence: a mask is a function of where its record stands in the study, so the cut and
// the uncut network drop the same (SEMANTICS.md, "Everything random is counted").

import { randomStream } from '../base/index.ts';
import { elementCount, type Tensor, zeros } from '../tensor/index.ts';

/** A dropout layer of a part. */
export interface MaskSpec {
  /** The graph input: bool `[N, ...dims]`. */
  readonly name: string;
  /** The layer's number among the whole network's dropout layers, in order. */
  readonly layer: number;
  readonly dims: readonly number[];
  readonly keepProbability: number;
}

/** Records that share a key: `rows` records of one site's batch, or of one server step of `detached`. */
export interface MaskPlace {
  /** [site, epoch, batch] of the batch, or [epoch, step] in `detached`. */
  readonly place: readonly number[];
  readonly rows: number;
}

/** The masks of one batch that is the given records in order, by input name. */
export function dropoutMasks(
  seed: number,
  specs: readonly MaskSpec[],
  places: readonly MaskPlace[],
): Record<string, Tensor<'bool'>> {
  const rows = places.reduce((sum, place) => sum + place.rows, 0);
  const masks: Record<string, Tensor<'bool'>> = {};
  for (const spec of specs) {
    const elements = elementCount(spec.dims);
    const mask = zeros('bool', [rows, ...spec.dims]);
    let from = 0;
    for (const { place, rows: count } of places) {
      const stream = randomStream(seed, 'dropout', [spec.layer, ...place]);
      stream.fillMask(mask.data.subarray(from * elements, (from + count) * elements), elements, spec.keepProbability);
      from += count;
    }
    masks[spec.name] = mask;
  }
  return masks;
}
