// A small grey drawing surface for the synthetic images: coordinates 0 … 1 right and down, values 0 (black) … 1 (white).

/** Grey values `[height, width]`. */
export class Canvas {
  readonly width: number;
  readonly height: number;
  readonly values: Float32Array;

  constructor(width: number, height: number, value = 0) {
    this.width = width;
    this.height = height;
    this.values = new Float32Array(width * height).fill(value);
  }

  /** Replaces each value by `paint(value, x, y)` at the pixel's centre. */
  paint(paint: (value: number, x: number, y: number) => number): void {
    const { values, width, height } = this;
    for (let row = 0, at = 0; row < height; row++) {
      const y = (row + 0.5) / height;
      for (let column = 0; column < width; column++, at++) {
        values[at] = paint(values[at]!, (column + 0.5) / width, y);
      }
    }
  }

  /** The values as stored pixels: rounded to 8 bit, held to 0 … 255, repeated for each channel: `[channels, height, width]`. */
  toPixels(channels: number): Uint8Array {
    const plane = this.values.length;
    const pixels = new Uint8Array(plane * channels);
    for (let index = 0; index < plane; index++) {
      const value = this.values[index]!;
      pixels[index] = value <= 0 ? 0 : value >= 1 ? 255 : Math.round(value * 255);
    }
    for (let channel = 1; channel < channels; channel++) pixels.copyWithin(channel * plane, 0, plane);
    return pixels;
  }
}

/** 1 well inside an ellipse, 0 well outside, 1/2 on it; the edge is about `softness` of its radius wide. `angle` in radians. */
export function ellipse(
  x: number,
  y: number,
  centre: {
    readonly x: number;
    readonly y: number;
    readonly radiusX: number;
    readonly radiusY: number;
    angle?: number;
  },
  softness: number,
): number {
  const cos = Math.cos(centre.angle ?? 0);
  const sin = Math.sin(centre.angle ?? 0);
  const dx = x - centre.x;
  const dy = y - centre.y;
  const u = (cos * dx + sin * dy) / centre.radiusX;
  const v = (cos * dy - sin * dx) / centre.radiusY;
  return smoothStep((1 - Math.sqrt(u * u + v * v)) / softness + 0.5);
}

/** 0 below 0, 1 above 1, smooth between: 3t² - 2t³. */
export function smoothStep(t: number): number {
  return t <= 0 ? 0 : t >= 1 ? 1 : t * t * (3 - 2 * t);
}
