import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planStudy } from '../../test/harness/study.ts';
import type { Exchange } from './lines.ts';
import { siteScript, unknownFacts } from './script.ts';
import { messagesAhead, stepsSumsLag, windowed } from './window.ts';

const acts = (from: number, to: number, window: number, lag = 0) =>
  [...windowed(from, to, window, lag)].map(({ kind, step }) => `${kind[0]}${step}`).join(' ');

describe('the order of a window', () => {
  it('with one step is a step at a time', () => {
    expect(acts(0, 3, 1)).toBe('f0 b0 u0 f1 b1 u1 f2 b2 u2');
  });

  it('with three is three steps ahead, and empty at the end', () => {
    expect(acts(0, 5, 3)).toBe('f0 f1 f2 b0 u0 f3 b1 u1 f4 b2 u2 b3 u3 b4 u4');
    expect(acts(4, 6, 3)).toBe('f4 f5 b4 u4 b5 u5');
  });

  it('has sums half a window behind the cut gradients', () => {
    expect(acts(0, 5, 3, stepsSumsLag(3))).toBe('f0 f1 b0 f2 b1 u0 f3 b2 u1 f4 b3 u2 b4 u3 u4');
  });

  it('has every forward pass after the update of W steps before and of no later one', () => {
    const sizes = fc.record({
      from: fc.nat(5),
      steps: fc.integer({ min: 1, max: 20 }),
      window: fc.integer({ min: 1, max: 9 }),
    });
    fc.assert(
      fc.property(sizes, fc.nat(8), ({ from, steps, window }, any) => {
        const order = [...windowed(from, from + steps, window, any % window)];
        for (const kind of ['forward', 'backward', 'update'] as const)
          expect(order.filter((act) => act.kind === kind).map(({ step }) => step)).toEqual(
            Array.from({ length: steps }, (_, index) => from + index),
          );
        const at = (kind: string, step: number) => order.findIndex((act) => act.kind === kind && act.step === step);
        for (let step = from; step < from + steps; step++) {
          const updates = order.slice(0, at('forward', step)).filter(({ kind }) => kind === 'update').length;
          expect(updates).toBe(Math.max(0, step - window - from + 1));
          expect(at('backward', step)).toBeGreaterThan(at('forward', step));
          expect(at('update', step)).toBeGreaterThan(at('backward', step));
        }
      }),
    );
  });
});

describe('a script with a window', () => {
  const counts = [
    { train: 40, val: 2, test: 2 },
    { train: 9, val: 2, test: 2 },
  ];
  const scriptOf = (windowSteps: number | undefined, segments: 'private' | 'mirrored'): Exchange[] => {
    const { plan } = planStudy({
      choices: { when: windowSteps === undefined ? 'live' : 'buffered', segments },
      counts: [40, 9],
      training: { batch: 5, epochs: 2, ...(windowSteps === undefined ? {} : { windowSteps }) },
    });
    return [...siteScript(plan, 1, { ...unknownFacts(plan), counts })];
  };

  it.each(['private', 'mirrored'] as const)('of one step is that of live, with %s segments', (segments) => {
    expect(scriptOf(1, segments)).toEqual(scriptOf(undefined, segments));
  });

  it('lets a site be no more than a window ahead, and no message more than the server makes room for', () => {
    for (const windowSteps of [2, 4, 7]) {
      const { plan } = planStudy({
        choices: { when: 'buffered', segments: 'private' },
        counts: [40, 9],
        training: { batch: 5, windowSteps },
      });
      let [ahead, most] = [0, 0];
      for (const { batch, kind } of siteScript(plan, 0, { ...unknownFacts(plan), counts })) {
        if (batch && kind === 'activations') ahead += 1;
        if (batch && kind === 'cut-gradient') ahead -= 1;
        most = Math.max(most, ahead);
      }
      expect(most).toBe(windowSteps);
      expect(messagesAhead(plan)).toBeGreaterThanOrEqual(most);
    }
  });
});
