import { describe, expect, it } from 'vitest';
import { ConfigError } from '../base/index.ts';
import {
  allChoices,
  allowedChoices,
  checkChoices,
  type Choices,
  describeChoices,
  methods,
  presets,
  refusalOf,
} from './choices.ts';

const septum: Choices = { ...presets.septum, labels: 'server', segmentSeed: 'study' };

function refusal(changed: Partial<Choices>): string {
  return refusalOf({ ...septum, ...changed }) ?? 'allowed';
}

describe('the table', () => {
  it('allows 27 combinations, and with private segments also segmentSeed: site', () => {
    const allowed = allowedChoices();
    expect(allowed.filter(({ segmentSeed }) => segmentSeed === 'study').length).toBe(27);
    expect(
      allowed.filter(({ segmentSeed }) => segmentSeed === 'site').every(({ segments }) => segments === 'private'),
    ).toBe(true);
    expect(new Set(allowed.map(describeChoices)).size).toBe(allowed.length);
  });

  it('has every preset, with the labels at the server', () => {
    for (const method of methods)
      expect(
        refusalOf({ ...presets[method], labels: 'server', segmentSeed: 'study' }),
        `preset ${method}`,
      ).toBeUndefined();
  });

  it('gives a reason of its own for every way to be wrong', () => {
    const reasons = new Set<string>();
    for (const choices of allChoices()) {
      const text = refusalOf(choices);
      if (text === undefined) continue;
      const [, reason = ''] = /is not allowed: (.*)\. The nearest allowed is/.exec(text) ?? [];
      reasons.add(reason.replaceAll(/(order|when|segments): \w+/g, '$1'));
    }
    expect(reasons.size).toBeGreaterThanOrEqual(10);
  });
});

describe('a refusal', () => {
  it.each<[Partial<Choices>, string, string]>([
    [{ segmentSeed: 'site' }, 'goes with segments: private only', 'segments: mirrored, segmentSeed: study'],
    [{ order: 'arrival' }, "needs all sites' gradients at each step", 'order: union'],
    [{ segments: 'relay' }, 'has no turns', 'order: turns'],
    [{ order: 'none' }, 'leaves a shared trunk without a rule', 'order: union'],
    [{ trunk: 'averaged' }, 'gives each site its own replica', 'trunk: shared'],
    [{ when: 'detached' }, 'so there is no order of sites', 'order: none'],
    [{ when: 'detached', order: 'none', labels: 'site' }, 'needs the sites at every step', 'labels: site'],
    [{ when: 'detached', order: 'none', segments: 'average' }, 'nothing to average', 'when: detached'],
    [{ when: 'buffered', order: 'turns', segments: 'private' }, 'one site work at a time', 'order: union'],
  ])('of %o says why, and what is near', (changed, reason, nearest) => {
    const text = refusal(changed);
    expect(text).toContain(describeChoices({ ...septum, ...changed }));
    expect(text).toContain(reason);
    expect(text.slice(text.indexOf('The nearest allowed is'))).toContain(nearest);
  });

  it('never moves the labels for the sake of another choice', () => {
    const moved = allChoices().filter((choices) => {
      const [, nearest] = /The nearest allowed is (.*)/.exec(refusalOf(choices) ?? '') ?? [];
      return choices.when === 'live' && nearest !== undefined && !nearest.includes(`labels: ${choices.labels}`);
    });
    expect(moved).toEqual([]);
  });
});

describe('checkChoices', () => {
  it('accepts what is allowed', () => {
    for (const choices of allowedChoices()) checkChoices(choices);
  });

  it('refuses a combination outside the table by code', () => {
    const check = () => checkChoices({ ...septum, order: 'none' });
    expect(check).toThrow(ConfigError);
    expect(check).toThrow(expect.objectContaining({ code: 'combination-refused' }));
  });
});
