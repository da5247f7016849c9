// The parts of a `data:` section that say what an image is to the network, and how training images are varied.

import { z } from 'zod';
import { reading } from './field-checks.ts';

const finite = z.number().min(-1e12).max(1e12);

/** How a training image is varied before it enters the segment. Every amount is the largest; each record's is drawn uniformly. */
export const augmentSettings = z.strictObject({
  flipHorizontal: z.boolean().default(false).describe('Mirror left and right, with probability 1/2.'),
  flipVertical: z.boolean().default(false).describe('Mirror top and bottom, with probability 1/2.'),
  shift: z.number().min(0).max(0.5).default(0).describe('Largest shift each way, as a share of width and height.'),
  rotateDegrees: z.number().min(0).max(45).default(0).describe('Largest rotation each way; bilinear.'),
  brightness: z.number().min(0).max(0.5).default(0).describe('Largest value added to or taken from pixels of 0 … 1.'),
  contrast: z
    .number()
    .min(0)
    .max(0.9)
    .default(0)
    .describe('Largest change of the factor about the image’s mean: 1 ± this.'),
  fill: z.enum(['edge', 'reflect', 'zero']).default('edge').describe('What comes in from outside the image.'),
});
export type AugmentSettings = z.output<typeof augmentSettings>;

const channelNumbers = z.array(finite).min(1).max(3);
const size = z.int().min(8).max(1024);

/** The size and meaning of an image as the network gets it: float32 `[channels, height, width]`, 0 … 1 before `pixels`. */
export const imageSettings = z
  .strictObject({
    width: size.default(64),
    height: size.default(64),
    channels: z
      .union([z.literal(1), z.literal(3)])
      .default(1)
      .describe('1: grey (Rec. 601 luma of colours). 3: RGB.'),
    fit: z
      .enum(['stretch', 'pad', 'crop'])
      .default('stretch')
      .describe('Another aspect ratio is stretched, padded with black, or cropped about the centre.'),
    pixels: z
      .strictObject({ mean: channelNumbers, sd: z.array(z.number().min(1e-6).max(1e6)).min(1).max(3) })
      .optional()
      .describe('(value - mean) / sd for each channel, after augmentation.'),
  })
  .superRefine(
    (image, context) => {
      if (image.pixels === undefined) return;
      for (const key of ['mean', 'sd'] as const) {
        const given = image.pixels[key].length;
        if (given === image.channels) continue;
        context.addIssue({
          code: 'custom',
          path: ['pixels', key],
          message: `has ${given} numbers, but the image has ${image.channels} channels`,
        });
      }
    },
    reading('channels', 'pixels'),
  );
export type ImageSettings = z.output<typeof imageSettings>;
