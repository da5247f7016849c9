import { expect, it } from 'vitest';
import { planStudy, runInMemory } from '../harness/study.ts';

it('trains', async () => {
  const outcome = await runInMemory(planStudy());
  console.log(JSON.stringify(outcome.server.history), outcome.server.bytesUp);
  expect(outcome.server.test?.overall.n).toBe(26);
});
