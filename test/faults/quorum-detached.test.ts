// `detached` with a quorum: who has not uploaded when the server begins to train enters between two epochs, when it has, and whoever stops
// in the middle of an upload is gone on without. The logs replay to the same bits.

import { describe, expect, test } from 'vitest';
import type { Plan } from '../../src/protocol/index.ts';
import type { ServerEvent } from '../../src/server/index.ts';
import { planStudy, smallCnn, type TestStudy, twoClasses } from '../harness/study.ts';
import { counts, expectReplay, Run, type RunOptions } from './quorum-run.ts';

const quorum = { sites: 2, stragglerTimeoutMs: 300 };
const choices = { when: 'detached', order: 'none' } as const;

function planned(training: Partial<Plan['training']> = {}, study: TestStudy = {}) {
  return planStudy({ counts, quorum, choices, training: { epochs: 8, select: 'last', ...training }, ...study });
}

const entersAs = (name: string) => (event: ServerEvent) => event.kind === 'members' && event.entering.includes(name);
const hasUploaded = (name: string) => (event: ServerEvent) => event.kind === 'uploaded' && event.site === name;

/** A study that has begun without B, whose next commit is held back. */
async function withoutB(study: ReturnType<typeof planned>, options: RunOptions = {}): Promise<Run> {
  const run = new Run(study, options);
  run.start();
  run.join(0);
  run.join(2);
  await run.afterEpoch(1);
  run.hold();
  return run;
}

/** A study that B has left in the middle of its upload, and whose next commit is held back. */
async function goneOnWithoutB(): Promise<Run> {
  const run = new Run(planned({ augmentPasses: 40 }));
  run.mute(1, 30);
  run.start();
  for (const site of counts.keys()) run.join(site);
  await run.until((event) => event.kind === 'members' && event.away.includes('B'));
  await run.drop(1);
  await run.afterEpoch(1);
  run.hold();
  run.unmute(1);
  return run;
}

function sectionsOfB(run: Run): number {
  return run.activations.sections().filter(({ site }) => site === 'B').length;
}

/** B is back and uploads the other chunks, one for each section; then the study goes on to its end with it. */
async function expectToGoOnWithUpload(run: Run): Promise<void> {
  const held = sectionsOfB(run);
  expect(held).toBeGreaterThan(10);
  run.unmute(1);
  run.siteEvents[1]!.length = 0;
  run.join(1);
  await run.until(hasUploaded('B'));
  run.release();
  await run.end();
  expect(run.siteEvents[1]!.filter(({ kind }) => kind === 'uploaded')).toHaveLength(43 - held);
  expect(run.attendance).toEqual(['AC', 'ABC']);
  await expectReplay(run);
}

/** Records that each epoch was trained on. */
function recordsOf(run: Run): readonly number[] {
  const records: number[] = [];
  for (const step of run.steps) records[step.epoch] = (records[step.epoch] ?? 0) + step.records;
  return records;
}

test('a quorum of uploads is enough', async () => {
  const run = new Run(planned());
  run.start();
  run.join(0);
  run.join(2);
  const { test: figures } = await run.end([0, 2]);
  expect(Object.keys(figures!.sites)).toEqual(['A', 'C']);
  await expectReplay(run);
});

describe.each(
  Object.entries<readonly [Partial<Plan['training']>, TestStudy]>({
    'private segments': [{}, { choices: { ...choices, segments: 'private' } }],
    'augmented passes': [{ augmentPasses: 2 }, {}],
    'Adam, a schedule and class weights': [
      {
        optimizer: { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
        schedule: { kind: 'cosine', warmupSteps: 4, floor: 0.1 },
        classWeights: 'balanced',
      },
      { network: smallCnn, task: twoClasses },
    ],
  }),
)('%s', (_, [training, study]) => {
  test('a site that is late uploads while the others’ pool is trained on, and is in it from the next epoch on', async () => {
    const run = await withoutB(planned(training, study));
    run.join(1);
    await run.until(hasUploaded('B'));
    expect(run.attendance).toEqual(['AC']);
    run.release();
    const entered = await run.until(entersAs('B'));
    const { test: figures, counts: counted } = await run.end();
    expect(run.attendance).toEqual(['AC', 'ABC']);
    const passes = 1 + (training.augmentPasses ?? 0);
    const { epoch } = entered as ServerEvent & { kind: 'members' };
    expect(recordsOf(run)).toEqual(Array.from({ length: 8 }, (__, one) => passes * (one < epoch ? 40 : 60)));
    expect(Object.keys(figures!.sites)).toEqual(['A', 'B', 'C']);
    expect(counted['B']).toEqual({ train: 20, val: 5, test: 5 });
    await expectReplay(run);
  });
});

test.each(['goes on', 'dies'])(
  'enters at an epoch’s end, though commits are written within: the server %s',
  async (fate) => {
    const run = new Run(planned({ batch: 4, epochs: 6 }), { commitEveryMs: 0 });
    run.start();
    run.join(0);
    run.join(2);
    await run.afterStep(13);
    run.hold();
    run.join(1);
    await run.until(hasUploaded('B'));
    if (fate === 'dies') {
      await run.dropServer();
      run.start();
    }
    run.release();
    expect(await run.until(entersAs('B'))).toMatchObject({ epoch: 2, step: 20 });
    await run.end();
    expect(run.events.filter(({ kind }) => kind === 'resumed')).toHaveLength(fate === 'dies' ? 2 : 1);
    await expectReplay(run);
  },
);

test('enters before the first step when its upload is done as soon as the others’ are, standardised as they are', async () => {
  const run = new Run(planned());
  run.start();
  run.join(0);
  run.join(2);
  await run.until((event) => event.kind === 'uploaded');
  run.hold();
  run.join(1);
  await run.until(hasUploaded('B'));
  run.release();
  await run.end();
  const lines = run.members.map(({ step, pooled, sites }) => [step, pooled, sites.join('')]);
  expect(lines).toEqual([[0, true, 'AC'], [0, false, 'ABC']]); // prettier-ignore
  await expectReplay(run);
});

describe('a server that dies', () => {
  test('after a late site has entered goes on with it', async () => {
    const run = await withoutB(planned({ epochs: 30, batch: 4 }), { commitEveryMs: 0 });
    run.join(1);
    await run.until(hasUploaded('B'));
    run.release();
    const { step } = (await run.until(entersAs('B'))) as ServerEvent & { kind: 'members' };
    await run.afterStep(step + 20);
    await run.dropServer();
    const entries = run.members.length;
    run.start();
    await run.end();
    expect(run.members[entries]).toMatchObject({ sites: ['A', 'B', 'C'], entering: [], pooled: false });
    expect(run.attendance).toEqual(['AC', 'ABC']);
    await expectReplay(run);
  });

  test('before a site enters that has uploaded and left lets it enter without it', async () => {
    const run = await withoutB(planned());
    run.join(1);
    await run.until(hasUploaded('B'));
    await run.drop(1);
    await run.dropServer();
    expect(run.attendance).toEqual(['AC']);
    run.start();
    await run.until(entersAs('B'));
    const { test: figures } = await run.end([0, 2]);
    expect(Object.keys(figures!.sites)).toEqual(['A', 'B', 'C']);
    await expectReplay(run);
  });

  test('during the uploads goes on with them, standardised as they began', async () => {
    const run = new Run(planned({ augmentPasses: 40 }));
    run.mute(1, 30);
    run.start();
    for (const site of counts.keys()) run.join(site);
    await Promise.all([run.until(hasUploaded('A')), run.until(hasUploaded('C'))]);
    await run.drop(1);
    await run.dropServer();
    run.start();
    await run.end([0, 2]);
    expect(run.members.map(({ sites, pooled }) => [sites.join(''), pooled])).toEqual([['ABC', true], ['AC', false]]); // prettier-ignore
    await expectReplay(run);
  });
});

test('a site that stops in the middle of its upload is gone on without, and enters when it has gone on with it', async () => {
  await expectToGoOnWithUpload(await goneOnWithoutB());
});

test('a late site that does not come to the end of its upload keeps nobody, and is told the end', async () => {
  const run = await withoutB(planned({ augmentPasses: 40 }));
  run.mute(1, 30);
  run.join(1);
  run.release();
  await run.end([0, 2]);
  await expect(run.site(1)).rejects.toThrow(/the study is over/);
  expect(run.attendance).toEqual(['AC']);
  await expectReplay(run);
});

test('a late site may be away for longer than the server waits for others, and goes on with its upload', async () => {
  const timeoutMs = 2000;
  const run = await withoutB(planned({ augmentPasses: 40 }), { timeoutMs });
  run.mute(1, 30);
  run.join(1);
  while (sectionsOfB(run) < 20) await new Promise((resolve) => setTimeout(resolve, 10));
  await run.drop(1);
  await new Promise((resolve) => setTimeout(resolve, timeoutMs + 500));
  await expectToGoOnWithUpload(run);
});

test.each(['in the middle of', 'after'])(
  'a site that is back with other records %s its upload is refused, and the others go on',
  async (when) => {
    const run = when !== 'after' ? await goneOnWithoutB() : Run.ofAll(planned());
    if (when === 'after') {
      await run.afterEpoch(1);
      run.hold();
      await run.drop(1);
    }
    run.join(1, planStudy({ counts: [30, 21, 10] }).data[1]);
    await expect(run.site(1)).rejects.toThrow(/the records of site B are not those with which this study began/);
    run.release();
    await run.end([0, 2]);
    expect(run.events).toContainEqual({ kind: 'warning', text: expect.stringMatching(/^site B takes no part: /) });
    expect(run.attendance).toEqual([when !== 'after' ? 'AC' : 'ABC']);
    await expectReplay(run);
  },
);

describe('while the server keeps its results', () => {
  test('a late site that is in the middle of its upload has been told that the study is over', async () => {
    let told: unknown;
    const keeping = async () => {
      told = await run.site(1).catch((error: unknown) => error);
    };
    const run = await withoutB(planned({ augmentPasses: 40 }), { keeping });
    run.mute(1, 30);
    run.join(1);
    while (sectionsOfB(run) < 20) await new Promise((resolve) => setTimeout(resolve, 10));
    run.release();
    await run.end([0, 2]);
    expect(told).toMatchObject({ message: expect.stringMatching(/the study is over/) });
    expect(run.attendance).toEqual(['AC']);
    await expectReplay(run);
  });

  test('a site that entered late is started again, and is given the trunk', async () => {
    const keeping = async () => {
      await run.drop(1);
      run.join(1);
    };
    const run = await withoutB(planned(), { keeping });
    run.join(1);
    await run.until(hasUploaded('B'));
    run.release();
    const { trunk } = await run.end();
    expect((await run.site(1)).trunk).toEqual(trunk);
    expect(run.events).toContainEqual({ kind: 'hand-over', site: 'B', state: 'done' });
    expect(run.attendance).toEqual(['AC', 'ABC']);
    await expectReplay(run);
  });

  test('a site that was back just before, and lost before it had said anything, may come again', async () => {
    const keeping = async () => {
      run.unmute(1);
      run.join(1);
    };
    const run = Run.ofAll(planned(), { keeping, timeoutMs: 2000 });
    await run.afterEpoch(1);
    run.hold();
    await run.drop(1);
    run.mute(1, 1);
    run.join(1);
    run.release();
    await run.afterEpoch(7);
    await new Promise((resolve) => setTimeout(resolve, 500));
    await run.drop(1);
    const { trunk } = await run.end();
    expect((await run.site(1)).trunk).toEqual(trunk);
    await expectReplay(run);
  });

  test('a site that is back with other records is given nothing, and the others end', async () => {
    const keeping = async () => {
      await run.drop(1);
      run.join(1, planStudy({ counts: [30, 21, 10] }).data[1]);
    };
    const run = Run.ofAll(planned(), { keeping });
    await run.end([0, 2]);
    await expect(run.site(1)).rejects.toThrow(/the records of site B are not those with which this study began/);
    await expectReplay(run);
  });
});

describe('withdrawal', () => {
  test('deletes what the site uploaded, and trains on without it', async () => {
    const run = Run.ofAll(planned({ epochs: 60, batch: 4 }), { commitEveryMs: 0 });
    await run.afterEpoch(2);
    await run.afterStep(run.steps.at(-1)!.step + 3);
    expect(run.activations.sections().map(({ site }) => site)).toContain('B');
    run.server!.withdraw(1);
    await run.end([0, 2]);
    expect(run.activations.sections().map(({ site }) => site)).not.toContain('B');
    expect([recordsOf(run)[0], recordsOf(run)[59]]).toEqual([60, 40]);
    expect(run.attendance).toEqual(['ABC', 'AC']);
    await expectReplay(run);
  });

  test('deletes what the site uploaded also while the server keeps its results', async () => {
    const run = Run.ofAll(planned(), { keeping: async () => run.server!.withdraw(1) });
    await run.end([0, 2]);
    await expect(run.site(1)).rejects.toThrow(/site B has withdrawn/);
    expect(run.activations.sections().map(({ site }) => site)).not.toContain('B');
    expect(run.attendance).toEqual(['ABC']);
    await expectReplay(run);
  });

  test('deletes what a late site has uploaded so far', async () => {
    const run = await withoutB(planned({ epochs: 200 }));
    run.join(1);
    await run.until(hasUploaded('B'));
    run.server!.withdraw(1);
    run.release();
    await expect(run.site(1)).rejects.toThrow(/site B has withdrawn/);
    await run.end([0, 2]);
    expect(run.activations.sections().map(({ site }) => site)).not.toContain('B');
    expect(run.attendance).toEqual(['AC']);
    await expectReplay(run);
  });
});
