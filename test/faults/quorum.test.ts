// A study with a quorum goes on without sites that stay away, takes late ones in, is paused, stopped and withdrawn from: and each time its
// logs replay to the same bits.

import { describe, expect, test } from 'vitest';
import { planStudy, smallCnn, type TestStudy } from '../harness/study.ts';
import { counts, expectReplay, Run } from './quorum-run.ts';

const quorum = { sites: 2, stragglerTimeoutMs: 300 };
const studies: Readonly<Record<string, TestStudy>> = {
  'union, mirrored': { counts },
  'union, mirrored, Adam, labels at the sites': {
    counts,
    choices: { labels: 'site' },
    training: { optimizer: { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 } },
  },
  'union, private': { counts, choices: { segments: 'private' } },
  'union of globally drawn records, private': {
    counts,
    choices: { segments: 'private' },
    training: { sampling: 'global' },
  },
  'union, average': { counts, training: { roundSteps: 2 }, choices: { segments: 'average' } },
  'turns, relay': { counts, training: { turnSteps: 1 }, choices: { order: 'turns', segments: 'relay' } },
  'turns, average': { counts, choices: { order: 'turns', segments: 'average' } },
  'averaged, average': { counts, choices: { order: 'none', trunk: 'averaged', segments: 'average' } },
  'averaged, private': { counts, choices: { order: 'none', trunk: 'averaged', segments: 'private' } },
  'arrival, private': { counts, training: { batch: 8 }, choices: { order: 'arrival', segments: 'private' } },
  'buffered, union, mirrored': {
    counts,
    training: { windowSteps: 3, batch: 8 },
    choices: { when: 'buffered', segments: 'mirrored' },
  },
  'buffered, arrival, average': {
    counts,
    training: { windowSteps: 3, batch: 8 },
    choices: { when: 'buffered', order: 'arrival', segments: 'average' },
  },
  'a convolutional network with dropout': { counts, network: smallCnn },
};

describe.each(Object.entries(studies))('%s', (_, study) => {
  const planned = planStudy({ ...study, quorum, training: { epochs: 7, select: 'last', ...study.training } });

  test('goes on without a site that is lost, and with it again when it is back', async () => {
    const run = Run.ofAll(planned);
    await run.afterEpoch(1);
    await run.drop(2);
    await run.until((event) => event.kind === 'members' && event.away.includes('C'));
    await run.afterEpoch(3);
    run.join(2);
    await run.until((event) => event.kind === 'members' && event.entering.includes('C'));
    await run.end();
    expect(run.attendance).toEqual(['ABC', 'AB', 'ABC']);
    expect(run.siteEvents[2]!.some(({ kind }) => kind === 'entered')).toBe(true);
    await expectReplay(run);
  });

  test('begins with a quorum, and takes in a site that is late', async () => {
    const run = new Run(planned);
    run.start();
    run.join(0);
    run.join(2);
    await run.afterEpoch(1);
    run.join(1);
    await run.end();
    expect(run.attendance).toEqual(['AC', 'ABC']);
    await expectReplay(run);
  });
});

test('within an epoch: who is lost is missed, and who is back takes part from the next commit on', async () => {
  const training = { epochs: 4, select: 'last', batch: 6 } as const;
  const planned = planStudy({ counts, quorum, choices: { segments: 'private' }, training });
  const run = Run.ofAll(planned, { commitEveryMs: 0 });
  await run.afterStep(13);
  await run.drop(1);
  await run.until((event) => event.kind === 'members' && event.away.includes('B'));
  await run.afterStep(16);
  run.join(1);
  await run.until((event) => event.kind === 'members' && event.entering.includes('B'));
  await run.end();
  expect(run.attendance).toEqual(['ABC', 'AC', 'ABC']);
  expect(run.members.some(({ step }) => step % 10 !== 0)).toBe(true);
  await expectReplay(run);
});

test('a site that is silent is a straggler too', async () => {
  const planned = planStudy({ counts, quorum, training: { epochs: 3, select: 'last' } });
  const run = Run.ofAll(planned);
  await run.afterEpoch(0);
  run.mute(2);
  await run.until((event) => event.kind === 'members' && event.away.includes('C'));
  expect(run.events.find((event) => event.kind === 'resumed')).toMatchObject({
    reason: expect.stringMatching(/site C is away or silent/),
  });
  await run.end([0, 1]);
  await expectReplay(run);
});

test('fewer than a quorum end the study, which names them', async () => {
  const planned = planStudy({ counts, quorum, training: { epochs: 50 } });
  const run = Run.ofAll(planned, { timeoutMs: 1000 });
  await run.afterEpoch(1);
  await Promise.all([run.drop(1), run.drop(2)]);
  await expect(run.result).rejects.toThrow(/site [BC] is lost/);
});

test('fewer than a quorum that come do not begin it, and who stays away is named', async () => {
  const planned = planStudy({ counts, quorum });
  const run = new Run(planned, { joinTimeoutMs: 500 });
  run.start();
  run.join(1);
  await expect(run.result).rejects.toThrow(
    /^1 of 3 sites are there after 1 s, and the study asks for 2: A, C stay away/,
  );
});

test('is paused at a commit, and goes on to the same bits', async () => {
  const planned = planStudy({ counts, training: { epochs: 5, select: 'last' } });
  const undisturbed = Run.ofAll(planned);
  const before = await undisturbed.end();
  const run = Run.ofAll(planned);
  await run.afterEpoch(1);
  run.server!.pause();
  const paused = await run.until((event) => event.kind === 'paused');
  const { length } = run.events;
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(run.events.slice(length).filter(({ kind }) => kind === 'step')).toEqual([]);
  run.server!.resume();
  const after = await run.end();
  expect(paused).toMatchObject({ step: expect.any(Number) });
  expect(after.trunk).toEqual(before.trunk);
  expect(after.history).toEqual(before.history);
  expect(run.steps).toEqual(undisturbed.steps);
});

test('is stopped with the best model of the epochs that are complete', async () => {
  for (const commitEveryMs of [0, 60_000]) {
    const planned = planStudy({ counts, training: { epochs: 1000, batch: 6, select: 'best-val' } });
    const run = Run.ofAll(planned, { commitEveryMs });
    await run.afterEpoch(2);
    run.server!.stopEarly();
    const { stoppedEarly, history, test: figures, trunk, segments } = await run.end();
    expect(stoppedEarly).toBe(true);
    expect(figures).not.toBeNull();
    const short = planStudy({ counts, training: { epochs: history.length, batch: 6, select: 'best-val' } });
    const whole = Run.ofAll(short);
    const same = await whole.end();
    expect({ trunk, segments, history, test: figures }).toEqual({
      trunk: same.trunk,
      segments: same.segments,
      history: same.history,
      test: same.test,
    });
    for (const [site, { segment }] of (await run.siteResults()).entries())
      expect(segment).toEqual((await whole.siteResults())[site]?.segment);
  }
});

describe('withdrawal', () => {
  test('takes a site out of the study, for good', async () => {
    const planned = planStudy({ counts, quorum, training: { epochs: 6, select: 'last' } });
    const run = Run.ofAll(planned);
    await run.afterEpoch(1);
    run.server!.withdraw(2);
    await expect(run.site(2)).rejects.toThrow(/site C has withdrawn/);
    run.join(2);
    await expect(run.site(2)).rejects.toThrow(/site C has withdrawn/);
    const { test: figures } = await run.end([0, 1]);
    expect(Object.keys(figures!.sites)).toEqual(['A', 'B']);
    expect(run.attendance).toEqual(['ABC', 'AB']);
    await expectReplay(run);
  });

  test('ends a study that needs all its sites', async () => {
    const planned = planStudy({ counts, training: { epochs: 50 } });
    const run = Run.ofAll(planned);
    await run.afterEpoch(0);
    run.server!.withdraw(0);
    await expect(run.result).rejects.toMatchObject({ code: 'too-few-sites' });
  });

  test('before a pause is over', async () => {
    const planned = planStudy({ counts, quorum, training: { epochs: 4 } });
    const run = new Run(planned, { paused: true });
    run.start();
    await run.until((event) => event.kind === 'paused');
    for (const site of counts.keys()) run.join(site);
    run.server!.withdraw(1);
    await expect(run.site(1)).rejects.toThrow(/site B has withdrawn/);
    run.server!.resume();
    await run.end([0, 2]);
    expect(run.attendance).toEqual(['AC']);
  });
});
