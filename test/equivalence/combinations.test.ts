// Every combination of the choices: those that are allowed equal their references bit for bit, every other is refused by name.

import { describe, expect, it } from 'vitest';
import {
  allChoices,
  allowedChoices,
  type Choices,
  choiceValues,
  describeChoices,
  refusalOf,
} from '../../src/protocol/index.ts';
import { mlp, planStudy, smallCnn, type TestStudy } from '../harness/study.ts';
import { expectSameAsReference, expectSameSelection } from './bits.ts';

for (const choices of allowedChoices()) {
  describe(`a study with ${describeChoices(choices)}`, () => {
    const small: TestStudy = { network: mlp, choices, counts: [70, 20, 10], training: { batch: 15 } };
    it('equals its reference with lipid-mlp', () => expectSameAsReference(small));
    it('selects as its reference does with lipid-mlp', () =>
      expectSameSelection({ ...small, training: { batch: 15, epochs: 4, learningRate: 0.1 } }));
    it('equals its reference with ct-cnn and dropout', () =>
      expectSameAsReference({ network: smallCnn, choices, counts: [23, 10, 7], training: { batch: 11 } }));
  });
}

describe('the whole product of the choices', () => {
  const product = allChoices();

  it('is every value of each choice with every other', () => {
    const sizes = Object.values(choiceValues).map((values) => values.length);
    expect(product.length).toBe(sizes.reduce((size, values) => size * values, 1));
    expect(new Set(product.map(describeChoices)).size).toBe(product.length);
  });

  it('is allowed exactly where the table of SEMANTICS.md says so', () => {
    const allowed = product.filter((choices) => refusalOf(choices) === undefined);
    expect(new Set(allowed.map(describeChoices))).toEqual(new Set(product.filter(inTable).map(describeChoices)));
  });

  it('is planned where it is allowed, and else refused by name, with a reason and an allowed neighbour', () => {
    for (const choices of product) {
      const name = describeChoices(choices);
      const plan = () => planStudy({ choices, counts: [5, 5] });
      if (inTable(choices)) {
        expect(plan().plan.choices, `plan of ${name}`).toEqual(choices);
        continue;
      }
      expect(plan, `plan of ${name}`).toThrow(expect.objectContaining({ code: 'combination-refused' }));
      expect(plan, `plan of ${name}`).toThrow(name);
      const [, reason, nearest] =
        /is not allowed: (.{20,})\. The nearest allowed is (.*)$/.exec(refusalOf(choices) ?? '') ?? [];
      expect(reason, `${name}: reason`).toBeDefined();
      expect(nearest && product.filter(inTable).map(describeChoices), `${name}: nearest`).toContain(nearest);
    }
  });
});

/** The table "Allowed" of SEMANTICS.md, row by row. */
function inTable({ when, order, trunk, segments, labels, segmentSeed }: Choices): boolean {
  const row = `${when} ${order} ${trunk}`;
  const rows: Readonly<Record<string, readonly [segments: string, labels: string]>> = {
    'live union shared': ['private mirrored average', 'server site'],
    'live turns shared': ['private average relay', 'server site'],
    'live arrival shared': ['private average', 'server site'],
    'live none averaged': ['private average', 'server site'],
    'buffered union shared': ['private mirrored average', 'server'],
    'buffered arrival shared': ['private average', 'server'],
    'detached none shared': ['private mirrored', 'server'],
  };
  const [allowedSegments, allowedLabels] = rows[row] ?? ['', ''];
  return (
    allowedSegments.split(' ').includes(segments) &&
    allowedLabels.split(' ').includes(labels) &&
    (segmentSeed === 'study' || segments === 'private')
  );
}
