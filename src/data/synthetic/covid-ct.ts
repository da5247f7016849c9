// Synthetic chest slices: a body, two lungs, vessels and hazy patches of either sign. In the class `covid` the patches carry a fine
// alternating texture (after the "crazy paving" of ground-glass opacities) whose mean is zero, so no weighted sum of pixels shows it,
// while a small convolution does. No patient is behind them.

import type { RandomStream } from '../../base/index.ts';
import { Canvas, ellipse } from './canvas.ts';

/** Words of a record's row in its stream, by use. */
const patchWords = 8;
const vesselWords = 4;
const patches = 5;
const vessels = 9;
const noiseStart = 256;

/**
 * Draws a slice. `anatomy` gives the values that all slices of a case share, at row `group`; `slice` the record's own, at row
 * `record`.
 */
export function covidSlice(
  anatomy: RandomStream,
  slice: RandomStream,
  group: number,
  record: number,
  covid: boolean,
  width: number,
  height: number,
): Canvas {
  const shared = (index: number, low: number, high: number) => low + (high - low) * anatomy.uniform(index, group);
  const own = (index: number, low: number, high: number) => low + (high - low) * slice.uniform(index, record);
  const canvas = new Canvas(width, height, 0.02);

  const centreX = shared(0, 0.46, 0.54) + own(0, -0.015, 0.015);
  const centreY = shared(1, 0.47, 0.53) + own(1, -0.015, 0.015);
  const body = { x: centreX, y: centreY, radiusX: shared(2, 0.42, 0.48), radiusY: shared(3, 0.33, 0.42) };
  const tissue = shared(4, 0.55, 0.7);
  const air = shared(5, 0.12, 0.22);
  const lungScale = own(2, 0.8, 1.05);
  const lung = (side: -1 | 1, first: number) => ({
    x: centreX + side * shared(first, 0.17, 0.21),
    y: centreY + shared(first + 1, -0.03, 0.03),
    radiusX: lungScale * shared(first + 2, 0.13, 0.165),
    radiusY: lungScale * shared(first + 3, 0.22, 0.28),
    angle: side * shared(first + 4, -0.05, 0.2),
  });
  const lungs = [lung(-1, 8), lung(1, 13)] as const;
  const spine = { x: centreX, y: centreY + 0.24, radiusX: 0.06, radiusY: 0.06 };

  // A place in a lung: polar, inside 0.75 of its radii.
  const placeInLung = (first: number) => {
    const into = lungs[slice.uniform(first, record) < 0.5 ? 0 : 1];
    const angle = own(first + 1, 0, 2 * Math.PI);
    const far = 0.75 * Math.sqrt(slice.uniform(first + 2, record));
    return { x: into.x + far * into.radiusX * Math.cos(angle), y: into.y + far * into.radiusY * Math.sin(angle) };
  };
  const vesselList = Array.from({ length: vessels }, (_, index) => {
    const first = 16 + index * vesselWords;
    return { ...placeInLung(first), width: own(first + 3, 0.012, 0.026) };
  });
  // Mild cases are hard to tell from none.
  const severity = own(9, 0.08, 0.55);
  const shown = 2 + Math.floor(slice.uniform(8, record) * (patches - 1));
  const patchList = Array.from({ length: shown }, (_, index) => {
    const first = 64 + index * patchWords;
    return {
      ...placeInLung(first),
      radius: own(first + 3, 0.07, 0.12),
      haze: own(first + 4, -0.12, 0.22),
      texture: covid ? severity * own(first + 5, 0.7, 1) : 0,
      angle: own(first + 6, 0, Math.PI),
      phase: own(first + 7, 0, 2 * Math.PI),
    };
  });

  // The texture's wave is about 3.2 pixels of a 64-pixel image long.
  const frequency = 2 * Math.PI * 20;
  canvas.paint((outside, x, y) => {
    const inBody = ellipse(x, y, body, 0.06);
    if (inBody === 0) return outside;
    let value = tissue + 0.25 * ellipse(x, y, spine, 0.3);
    const inLungs = Math.max(ellipse(x, y, lungs[0], 0.12), ellipse(x, y, lungs[1], 0.12));
    if (inLungs > 0) {
      let lungValue = air;
      for (const vessel of vesselList) {
        const distance = ((x - vessel.x) ** 2 + (y - vessel.y) ** 2) / vessel.width ** 2;
        if (distance < 6) lungValue += 0.35 * Math.exp(-distance);
      }
      for (const patch of patchList) {
        const dx = x - patch.x;
        const dy = y - patch.y;
        const distance = (dx * dx + dy * dy) / patch.radius ** 2;
        if (distance > 4) continue;
        const along = Math.cos(patch.angle) * dx + Math.sin(patch.angle) * dy;
        const across = Math.cos(patch.angle) * dy - Math.sin(patch.angle) * dx;
        const wave = Math.sin(frequency * along + patch.phase) * Math.sin(frequency * across);
        lungValue += Math.exp(-distance) * (patch.haze + patch.texture * wave);
      }
      value += inLungs * (lungValue - value);
    }
    return outside + inBody * (value - outside);
  });
  const noise = new Float32Array(width * height);
  slice.fillNormal(noise, noiseStart, record);
  for (let index = 0; index < noise.length; index++) canvas.values[index]! += 0.02 * noise[index]!;
  return canvas;
}
