import { describe, expect, it } from 'vitest';
import { planStudy } from '../../test/harness/study.ts';
import { allowedChoices, describeChoices } from './choices.ts';
import { tensorBytes } from './lines.ts';
import { outboundOf } from './outbound.ts';
import { type ScriptFacts, siteScript, unknownFacts } from './script.ts';

const counts = [
  { train: 40, val: 10, test: 12 },
  { train: 20, val: 5, test: 6 },
];
// Those that this version runs.
const choices = allowedChoices().filter(({ when }) => when !== 'buffered');

describe('what a site sends', () => {
  it.each(choices.map((each) => [describeChoices(each), each] as const))(
    'is, kind by kind, what its script has: %s',
    (_, each) => {
      const { plan } = planStudy({ counts: [40, 20], choices: each, training: { augmentPasses: 2, batch: 9 } });
      const facts: ScriptFacts = { ...unknownFacts(plan), counts };
      const sent = [...siteScript(plan, 0, facts)].filter(({ direction }) => direction === 'up');
      const bytes: Record<string, number> = {};
      for (const { kind, tensors } of sent)
        if (tensors.length > 0) bytes[kind] = (bytes[kind] ?? 0) + tensorBytes(tensors);
      const times = { study: 1, 'train record': 40, 'val record': 10, 'test record': 12 };
      const told: Record<string, number> = {};
      for (const { kind, bytes: size, per, times: often } of outboundOf(plan)) {
        // How often steps, rounds and turns are is the script's to say; each must have the same size.
        const count = per in times ? times[per as keyof typeof times] * often! : countOf(sent, kind);
        told[kind] = (told[kind] ?? 0) + size * count;
      }
      expect(told).toEqual(bytes);
    },
  );
});

function countOf(sent: readonly { readonly kind: string }[], kind: string): number {
  return sent.filter((line) => line.kind === kind).length;
}
