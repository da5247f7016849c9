// The batches of a study, written again from SEMANTICS.md, "Steps, epochs, rounds" and "detached". A step is { x, labels, places }:
// float32 inputs, an array of labels, and the keys of its dropout masks.

import { randomStream } from '../../dist/base/index.js';
import { elementCount, tensor } from '../../dist/tensor/index.js';

/** How many of `records` come in each of `steps` steps. */
const spread = (records, steps) =>
  Array.from({ length: steps }, (_, t) => Math.floor(((t + 1) * records) / steps) - Math.floor((t * records) / steps));

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);

/** `live` and `union`: steps an epoch, and an epoch's steps one after another. */
export function unionBatches(plan, data) {
  const { seed } = plan;
  const { batch, sampling } = plan.training;
  const counts = data.map((site) => site.parts.train.count);
  const stepsPerEpoch = Math.ceil(sum(counts) / batch);
  async function* steps(epoch) {
    const sizes = sampling === 'global' ? globalSizes(epoch) : counts.map((count) => spread(count, stepsPerEpoch));
    const orders = counts.map((count, site) => randomStream(seed, 'epoch-order', [site, epoch]).permutation(count));
    const from = counts.map(() => 0);
    const index = counts.map(() => 0);
    for (let step = 0; step < stepsPerEpoch; step++) {
      const parts = [];
      for (const [site, own] of sizes.entries()) {
        const rows = orders[site].slice(from[site], from[site] + own[step]);
        from[site] += rows.length;
        if (rows.length === 0) continue;
        const batchIndex = index[site]++;
        const records = data[site].parts.train;
        const x = await records.load(rows, { studySeed: seed, siteIndex: site, epoch, batchIndex });
        const labels = Array.from(rows, (row) => records.labels[row]);
        parts.push({ x, labels, place: { place: [site, epoch, batchIndex], rows: rows.length } });
      }
      yield joined(parts);
    }
  }
  function globalSizes(epoch) {
    const sites = counts.flatMap((count, site) => new Array(count).fill(site));
    const order = randomStream(seed, 'global-sampling', [epoch]).permutation(sites.length);
    const chosen = Array.from(order, (place) => sites[place]);
    return counts.map((_, site) =>
      Array.from(
        { length: stepsPerEpoch },
        (_step, step) => chosen.slice(step * batch, (step + 1) * batch).filter((one) => one === site).length,
      ),
    );
  }
  return { stepsPerEpoch, steps };
}

/** `detached`: the pool of all sites' records, plain and in each augmented pass, as they were uploaded. */
export async function poolBatches(plan, data) {
  const { seed } = plan;
  const width = elementCount(plan.network.inputDims);
  const pool = [];
  for (const [site, { parts }] of data.entries()) {
    const { train } = parts;
    const rows = Array.from({ length: train.count }, (_, row) => row);
    for (let pass = 0; pass <= plan.training.augmentPasses; pass++) {
      const key = { studySeed: seed, siteIndex: site, epoch: 0, batchIndex: pass };
      const x = await (pass > 0 ? train.load(rows, key) : train.load(rows));
      for (const row of rows)
        pool.push({ x: x.data.subarray(row * width, (row + 1) * width), label: train.labels[row] });
    }
  }
  const stepsPerEpoch = Math.ceil(pool.length / plan.training.batch);
  async function* steps(epoch) {
    const order = randomStream(seed, 'pool-order', [epoch]).permutation(pool.length);
    let from = 0;
    for (const [step, size] of spread(pool.length, stepsPerEpoch).entries()) {
      const records = Array.from(order.subarray(from, from + size), (place) => pool[place]);
      from += size;
      const x = new Float32Array(size * width);
      records.forEach((record, row) => x.set(record.x, row * width));
      yield {
        x: tensor('float32', [size, ...plan.network.inputDims], x),
        labels: records.map(({ label }) => label),
        places: [{ place: [epoch, step], rows: size }],
      };
    }
  }
  return { stepsPerEpoch, steps };
}

function joined(parts) {
  const [first] = parts;
  const x = new Float32Array(sum(parts.map((part) => part.x.data.length)));
  let at = 0;
  for (const part of parts) {
    x.set(part.x.data, at);
    at += part.x.data.length;
  }
  const labels = parts.flatMap((part) => part.labels);
  return {
    x: tensor('float32', [labels.length, ...first.x.dims.slice(1)], x),
    labels,
    places: parts.map(({ place }) => place),
  };
}
