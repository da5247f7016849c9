import { describe, expect, test } from 'vitest';
import { lossesOf, metricsOf, type OutputMeaning, predictionsOf } from './outputs.ts';

const twoLogits: OutputMeaning = {
  kind: 'classification',
  loss: 'softmax-cross-entropy',
  classCount: 2,
  positive: 1,
  threshold: 0.5,
};
const oneLogit: OutputMeaning = { ...twoLogits, loss: 'binary-cross-entropy' };
const z: OutputMeaning = { kind: 'regression', loss: 'mse', mean: 100, sd: 20 };

describe('metricsOf', () => {
  test('one logit and the two logits (0, z) give the same figures', () => {
    const logits = [0.4, -2, 1.5, 3, -0.3, 0.1];
    const labels = [1, 0, 1, 1, 1, 0];
    const one = metricsOf(oneLogit, { outputs: logits, labels });
    const two = metricsOf(twoLogits, { outputs: logits.flatMap((value) => [0, value]), labels });
    for (const [key, value] of Object.entries(one)) {
      const other: unknown = two[key as keyof typeof two];
      if (typeof value === 'number') expect(other).toBeCloseTo(value, 12);
      else expect(other).toEqual(value);
    }
  });

  test('a single logit speaks for the positive class, also when that is the first', () => {
    const meaning: OutputMeaning = { ...oneLogit, positive: 0 };
    const metrics = metricsOf(meaning, { outputs: [5, -5, 4, -3], labels: [0, 1, 0, 1] });
    expect(metrics).toMatchObject({ auc: 1, accuracy: 1, sensitivity: 1, specificity: 1 });
    expect(metrics.loss).toBeLessThan(0.1);
  });

  test('class weights weigh the loss by the label', () => {
    const records = { outputs: [0, 0, 0], labels: [0, 0, 1] };
    expect(metricsOf(oneLogit, { ...records, classWeights: [0.75, 1.5] }).loss).toBeCloseTo(Math.LN2, 14);
    expect(metricsOf(oneLogit, { ...records, classWeights: [0, 3] }).loss).toBeCloseTo(Math.LN2, 14);
    expect(metricsOf(oneLogit, { ...records, classWeights: [1, 0] }).loss).toBeCloseTo((2 / 3) * Math.LN2, 14);
  });

  test("a regression's figures are in the target's unit, its loss in that of training", () => {
    // z of 1 and -1 are predictions 120 and 80; targets 110 and 80 have z 0.5 and -1.
    const metrics = metricsOf(z, { outputs: [1, -1], labels: [110, 80] });
    expect(metrics).toMatchObject({ mae: 5, loss: 0.125 });
  });

  test('with rmsle the prediction is softplus of the standardised value, and the loss is in logarithms', () => {
    const meaning: OutputMeaning = { kind: 'regression', loss: 'rmsle', mean: 0, sd: 2 };
    const outputs = [0, -1000, 500];
    const predictions = predictionsOf(meaning, outputs);
    expect(predictions[0]).toBeCloseTo(Math.LN2, 14);
    expect([predictions[1], predictions[2]]).toEqual([0, 1000]);
    expect(lossesOf(meaning, outputs, [0, 0, 0])[2]).toBeCloseTo(Math.log(1001) ** 2, 10);
    const metrics = metricsOf(meaning, { outputs, labels: [1, 0, 900] });
    expect('rmsle' in metrics && metrics.rmsle! ** 2).toBeCloseTo(metrics.loss!, 12);
  });

  test('outputs that are not finite are refused', () => {
    expect(() => metricsOf(oneLogit, { outputs: [Number.NaN], labels: [1] })).toThrow('diverged');
    expect(() => metricsOf(z, { outputs: [Infinity], labels: [1] })).toThrow('diverged');
  });
});
