// Synthetic knee radiographs: two bones, a joint space, soft tissue, exposure and polarity that vary from image to image. In the class
// `abnormal` the space is narrowed on one side, the bone beside it denser, and spurs stand at its margins (after the signs of
// osteoarthritis). The joint's place, tilt and the image's polarity are random, so a weighted sum of pixels tells little. No patient is
// behind them.

import type { RandomStream } from '../../base/index.ts';
import { Canvas, ellipse, smoothStep } from './canvas.ts';

const noiseStart = 64;

/**
 * Draws a knee. `anatomy` gives the values that both knees of a patient share, at row `group`; `knee` the record's own, at row
 * `record`.
 */
export function boneXray(
  anatomy: RandomStream,
  knee: RandomStream,
  group: number,
  record: number,
  abnormal: boolean,
  width: number,
  height: number,
): Canvas {
  const shared = (index: number, low: number, high: number) => low + (high - low) * anatomy.uniform(index, group);
  const own = (index: number, low: number, high: number) => low + (high - low) * knee.uniform(index, record);
  const canvas = new Canvas(width, height);

  const jointX = own(0, 0.44, 0.56);
  const jointY = own(1, 0.4, 0.6);
  const tilt = own(2, -0.1, 0.1);
  const halfWidth = shared(0, 0.3, 0.36);
  const space = shared(1, 0.075, 0.095);
  const boneValue = shared(2, 0.62, 0.78);
  const softValue = shared(3, 0.28, 0.36);
  const exposureX = own(3, -0.15, 0.15);
  const exposureY = own(4, -0.15, 0.15);
  const inverted = knee.uniform(5, record) < 0.5;
  // The side that bears more weight: left or right in the image as the knee is.
  const side = knee.uniform(6, record) < 0.5 ? -1 : 1;
  const narrowing = abnormal ? own(7, 0.3, 0.95) : own(7, 0, 0.3);
  const spur = abnormal ? own(8, 0, 0.05) : 0;
  const density = abnormal ? own(9, 0, 0.18) : 0;
  const grain = own(10, 0, 2 * Math.PI);
  const spurs = [-1, 1].map((edge) => ({
    x: edge * (halfWidth + 0.01),
    y: edge * tilt * 0.1,
    radiusX: spur * 1.3,
    radiusY: spur * 0.8,
  }));

  canvas.paint((_, pixelX, pixelY) => {
    // Coordinates of the joint: u along it, v down across it.
    const dx = pixelX - jointX;
    const dy = pixelY - jointY;
    const u = dx + tilt * dy;
    const v = dy - tilt * dx;
    const beside = u / halfWidth;
    // The space opens towards the side that is not narrowed.
    const gap = space * (1 - narrowing * smoothStep(0.5 + 1.2 * side * beside));
    // Bones flare towards the joint; the two condyles are round, with a notch between them; the plateau is flat.
    const away = Math.abs(v);
    const edge = halfWidth * (0.72 + 0.28 * Math.exp(-((away / 0.16) ** 2)));
    const inWidth = smoothStep((edge - Math.abs(u)) / 0.03 + 0.5);
    const condyle = -0.02 * Math.cos(2 * Math.PI * Math.min(1, Math.abs(beside)));
    const beyond = v < 0 ? -v - gap / 2 + condyle : v - gap / 2;
    const inBone = inWidth * smoothStep(beyond / 0.02 + 0.5);
    const cortex = Math.exp(-((beyond / 0.025) ** 2)) * (1 + density * 4 * smoothStep(0.5 + 2 * side * beside));
    const trabeculae = 0.04 * Math.sin(70 * u + grain) * Math.sin(55 * v + 2 * grain);
    let value = softValue * smoothStep((0.46 - Math.abs(u)) / 0.06 + 0.5);
    value += inBone * (boneValue - value + 0.12 * cortex + trabeculae);
    if (spur > 0) for (const bump of spurs) value += ellipse(u, v, bump, 0.4) * Math.max(0, boneValue + 0.1 - value);
    value *= 1 + exposureX * (pixelX - 0.5) + exposureY * (pixelY - 0.5);
    return inverted ? 1 - value : value;
  });
  const noise = new Float32Array(width * height);
  knee.fillNormal(noise, noiseStart, record);
  for (let index = 0; index < noise.length; index++) canvas.values[index]! += 0.025 * noise[index]!;
  return canvas;
}
