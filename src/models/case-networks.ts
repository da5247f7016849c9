// The networks of the case studies (Ha et al., Scientific Reports 12:1534, 2022) and a small one of our own. The cut is marked |.

import { heStart, Layers, pytorchStart } from './layers.ts';
import type { Network } from './network.ts';

const lipidSlope = 5e-3;

/** The cholesterol network: fc 50, leaky | fc 30, leaky, fc 1. One input a column; z `[N, 1]`. The head is the last layer. */
export function lipidMlp({ inputs }: { readonly inputs: number }): Network {
  const layers = new Layers('lipid-mlp', [inputs]);
  const cut = layers.dense('fc1', 50).leakyRelu(lipidSlope).last;
  const headCut = layers.dense('fc2', 30).leakyRelu(lipidSlope).last;
  return layers.finish('fc3', 1, cut, headCut);
}

/** What the image networks have in common: `[N, channels, size, size]` in, `[N, classes]` logits out; 1 class is one logit for two classes. */
export interface ImageOptions {
  readonly channels: number;
  /** Height and width in pixels. */
  readonly size: number;
  readonly classes: number;
}

/**
 * conv 16, ReLU, pool | conv 32, ReLU, pool, conv 64, ReLU, pool, flatten, dropout, fc 128, ReLU, dropout, fc `classes`.
 * `size` is a multiple of 8. `dropout` stands before each dense layer; 0 leaves both out. The head is the last dense layer.
 */
export function ctCnn(options: ImageOptions & { readonly dropout: number }): Network {
  const { channels, size, classes, dropout } = options;
  const layers = new Layers('ct-cnn', [channels, size, size]);
  const cut = layers.conv('conv1', 16).relu().maxPool().last;
  layers.conv('conv2', 32).relu().maxPool().conv('conv3', 64).relu().maxPool().flatten();
  const headCut = layers.dropout(dropout).dense('fc1', 128).relu().dropout(dropout).last;
  return layers.finish('fc2', classes, cut, headCut);
}

/**
 * The CT network of one layer at the site and four at the server: conv 128, ReLU, pool | conv 256, 256, 256, 512, each with ReLU,
 * pool and dropout, flatten, fc 128, 64, 32 with ReLU, fc `classes`. `size` is a multiple of 32. The head is the last dense layer.
 */
export function ct1plus4(options: ImageOptions & { readonly dropout: number }): Network {
  const { channels, size, classes, dropout } = options;
  const layers = new Layers('ct-1plus4', [channels, size, size]);
  const cut = layers.conv('conv1', 128).relu().maxPool().last;
  [256, 256, 256, 512].forEach((filters, index) => {
    layers
      .conv(`conv${index + 2}`, filters)
      .relu()
      .maxPool()
      .dropout(dropout);
  });
  layers.flatten().dense('fc1', 128).relu().dense('fc2', 64).relu();
  const headCut = layers.dense('fc3', 32).relu().last;
  return layers.finish('fc4', classes, cut, headCut);
}

/** Filters of VGG-19's sixteen convolutions, in five blocks with a pool after each (Simonyan and Zisserman 2015, configuration E). */
const vgg19Blocks = [
  [64, 64],
  [128, 128],
  [256, 256, 256, 256],
  [512, 512, 512, 512],
  [512, 512, 512, 512],
];

/**
 * Conv of 3 filters, no activation | VGG-19's convolutions, flatten, fc `classes`. `size` is a multiple of 32; `channels` 1 takes grey
 * images as they are. The head is the dense layer. With `start: 'he'` the trunk starts as VGG does when it is trained from nothing; with
 * `'pytorch'` as PyTorch starts any layer, which is how its plain peer starts and too small for so deep a chain to learn quickly.
 */
export function vgg19(options: ImageOptions & { readonly name: string; readonly start: 'he' | 'pytorch' }): Network {
  const { name, channels, size, classes } = options;
  const start = options.start === 'he' ? heStart : pytorchStart;
  const layers = new Layers(name, [channels, size, size]);
  const cut = layers.conv('site', 3).last;
  vgg19Blocks.forEach((block, blockIndex) => {
    block.forEach((filters, index) => layers.conv(`conv${blockIndex + 1}_${index + 1}`, filters, start).relu());
    layers.maxPool();
  });
  const headCut = layers.flatten().last;
  return layers.finish('fc', classes, cut, headCut);
}
