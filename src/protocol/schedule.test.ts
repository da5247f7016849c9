import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { epochOrder, Schedule, type SchedulePlan, shareOfStep, stepCount } from './schedule.ts';

type Order = SchedulePlan['choices']['order'];

interface Case {
  readonly counts: readonly number[];
  readonly batch: number;
  readonly epoch: number;
  readonly training?: Partial<SchedulePlan['training']>;
}

function scheduleOf(order: Order, { counts, batch, training }: Case): Schedule {
  const choices = {
    when: 'live',
    labels: 'server',
    order,
    trunk: order === 'none' ? 'averaged' : 'shared',
    segments: 'private',
    segmentSeed: 'study',
  } as const;
  return new Schedule(
    {
      seed: 7,
      choices,
      training: { batch, epochs: 3, sampling: 'proportional', turnOrder: 'fixed', ...training },
    },
    counts,
  );
}

const cases = fc
  .record({
    counts: fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 6 }),
    extra: fc.nat({ max: 40 }),
    epoch: fc.nat({ max: 2 }),
  })
  .map(({ counts, extra, epoch }): Case => ({ counts, batch: counts.length + extra, epoch }));

describe.each(['union', 'turns', 'arrival', 'none'] as const)('batches with order %s', (order) => {
  it.each(order === 'union' ? (['proportional', 'global'] as const) : (['proportional'] as const))(
    'take every record once an epoch, in the order of the epoch (%s)',
    (sampling) => {
      fc.assert(
        fc.property(cases, (test) => {
          const schedule = scheduleOf(order, { ...test, training: { sampling } });
          test.counts.forEach((count, site) => {
            let from = 0;
            for (const [index, batch] of schedule.batches(site, test.epoch).entries()) {
              expect(batch).toMatchObject({ index, from });
              expect(batch.count).toBeGreaterThan(0);
              from += batch.count;
            }
            expect(from).toBe(count);
          });
        }),
      );
    },
  );

  it('are the same whoever asks, in whatever order', () => {
    fc.assert(
      fc.property(cases, fc.infiniteStream(fc.tuple(fc.nat({ max: 5 }), fc.nat({ max: 2 }))), (test, asked) => {
        const [one, other] = [scheduleOf(order, test), scheduleOf(order, test)];
        for (const [place, epoch] of asked.take(20)) {
          const site = place % test.counts.length;
          expect(one.batches(site, epoch)).toEqual(scheduleOf(order, test).batches(site, epoch));
        }
        expect(other.batches(0, test.epoch)).toEqual(one.batches(0, test.epoch));
      }),
      { numRuns: 30 },
    );
  });
});

describe('steps of union', () => {
  it('are never empty, never larger than the batch and a record a site, and keep all sites at the same part of their epoch', () => {
    fc.assert(
      fc.property(cases, (test) => {
        const schedule = scheduleOf('union', test);
        const given = test.counts.map(() => 0);
        for (let step = 0; step < schedule.serverSteps; step++) {
          const shares = schedule.sharesOfStep(test.epoch, step);
          const records = shares.reduce((sum, share) => sum + share, 0);
          expect(records).toBeGreaterThan(0);
          expect(records).toBeLessThanOrEqual(test.batch + test.counts.length);
          shares.forEach((share, site) => {
            given[site]! += share;
            const due = (test.counts[site]! * (step + 1)) / schedule.serverSteps;
            expect(due - given[site]!).toBeGreaterThanOrEqual(-1e-9);
            expect(due - given[site]!).toBeLessThan(1);
          });
        }
        expect(given).toEqual(test.counts);
      }),
    );
  });

  it('are what the batches say, with either sampling', () => {
    fc.assert(
      fc.property(cases, fc.constantFrom('proportional' as const, 'global' as const), (test, sampling) => {
        const schedule = scheduleOf('union', { ...test, training: { sampling } });
        for (let step = 0; step < schedule.serverSteps; step++) {
          const ofBatches = test.counts.map(
            (_, site) => schedule.batches(site, test.epoch).find((batch) => batch.step === step)?.count ?? 0,
          );
          expect(ofBatches).toEqual(schedule.sharesOfStep(test.epoch, step));
        }
      }),
    );
  });

  it('with global sampling are exactly a batch, but for the last', () => {
    fc.assert(
      fc.property(cases, (test) => {
        const schedule = scheduleOf('union', { ...test, training: { sampling: 'global' } });
        for (let step = 0; step < schedule.serverSteps; step++) {
          const records = schedule.sharesOfStep(test.epoch, step).reduce((sum, share) => sum + share, 0);
          const last = schedule.total - step * test.batch;
          expect(records).toBe(Math.min(test.batch, last));
        }
      }),
    );
  });

  it('with global sampling are drawn anew each epoch', () => {
    const schedule = scheduleOf('union', { counts: [50, 50], batch: 10, epoch: 0, training: { sampling: 'global' } });
    const shares = (epoch: number) => Array.from({ length: 10 }, (_, step) => schedule.sharesOfStep(epoch, step)[0]);
    expect(shares(0)).not.toEqual(shares(1));
    expect(new Set(shares(0)).size).toBeGreaterThan(1);
  });

  it('spread 7 records over 3 steps as 2, 2, 3', () => {
    expect([0, 1, 2].map((step) => shareOfStep(7, 3, step))).toEqual([2, 2, 3]);
    expect([0, 1, 2, 3].map((step) => shareOfStep(2, 4, step))).toEqual([0, 1, 0, 1]);
  });
});

describe('turns', () => {
  const turnCases = fc.tuple(
    cases,
    fc.record(
      { turnSteps: fc.integer({ min: 1, max: 5 }), turnOrder: fc.constantFrom('fixed' as const, 'shuffled' as const) },
      { requiredKeys: ['turnOrder'] },
    ),
  );

  it('take each step of each site once and in order, no longer than turnSteps, at consecutive server steps', () => {
    fc.assert(
      fc.property(turnCases, ([test, training]) => {
        const schedule = scheduleOf('turns', { ...test, training });
        const done = test.counts.map(() => 0);
        let serverStep = 0;
        let round = 0;
        for (const turn of schedule.turns(test.epoch)) {
          expect(turn.serverStep).toBe(serverStep);
          expect(turn.fromStep).toBe(done[turn.site]);
          expect(turn.toStep).toBeGreaterThan(turn.fromStep);
          expect(turn.toStep - turn.fromStep).toBeLessThanOrEqual(training.turnSteps ?? Number.POSITIVE_INFINITY);
          expect(turn.round - round).toBeGreaterThanOrEqual(0);
          expect(turn.round - round).toBeLessThanOrEqual(1);
          ({ round } = turn);
          done[turn.site] = turn.toStep;
          serverStep += turn.toStep - turn.fromStep;
        }
        expect(done).toEqual(test.counts.map((count) => stepCount(count, test.batch)));
        expect(serverStep).toBe(schedule.serverSteps);
      }),
    );
  });

  it('give each site at most one turn a round, and skip a site that is through', () => {
    const schedule = scheduleOf('turns', { counts: [50, 10, 30], batch: 10, epoch: 0, training: { turnSteps: 2 } });
    const rounds = schedule.turns(0).map(({ round, site, fromStep, toStep }) => [round, site, fromStep, toStep]);
    expect(rounds).toEqual([
      [0, 0, 0, 2],
      [0, 1, 0, 1],
      [0, 2, 0, 2],
      [1, 0, 2, 4],
      [1, 2, 2, 3],
      [2, 0, 4, 5],
    ]);
  });

  it('are a local epoch long by default', () => {
    const schedule = scheduleOf('turns', { counts: [25, 31], batch: 10, epoch: 0 });
    expect(schedule.turns(0).map(({ site, toStep }) => [site, toStep])).toEqual([
      [0, 3],
      [1, 4],
    ]);
  });

  it('in shuffled order come in another order in other rounds and epochs', () => {
    const counts = [40, 40, 40, 40];
    const schedule = scheduleOf('turns', {
      counts,
      batch: 10,
      epoch: 0,
      training: { turnSteps: 1, turnOrder: 'shuffled' },
    });
    const orders = [0, 1].flatMap((epoch) =>
      [0, 1, 2, 3].map((round) =>
        schedule
          .turns(epoch)
          .filter((turn) => turn.round === round)
          .map(({ site }) => site),
      ),
    );
    for (const order of orders) expect(new Set(order)).toEqual(new Set([0, 1, 2, 3]));
    expect(new Set(orders.map((order) => order.join())).size).toBeGreaterThan(2);
  });
});

describe('rounds', () => {
  it('end every roundSteps and with the epoch', () => {
    const schedule = scheduleOf('union', { counts: [50], batch: 10, epoch: 0, training: { roundSteps: 2 } });
    expect(schedule.rounds).toEqual([
      { fromStep: 0, toStep: 2 },
      { fromStep: 2, toStep: 4 },
      { fromStep: 4, toStep: 5 },
    ]);
    const whole = scheduleOf('union', { counts: [50], batch: 10, epoch: 0 });
    expect(whole.rounds).toEqual([{ fromStep: 0, toStep: 5 }]);
    const long = scheduleOf('union', { counts: [50], batch: 10, epoch: 0, training: { roundSteps: 7 } });
    expect(long.rounds).toEqual(whole.rounds);
  });

  it('of replicas are as many as the longest replica needs', () => {
    const rounds = (roundSteps?: number) =>
      scheduleOf('none', {
        counts: [70, 10],
        batch: 10,
        epoch: 0,
        training: roundSteps === undefined ? {} : { roundSteps },
      }).averagedRounds;
    expect([rounds(), rounds(2), rounds(7), rounds(100)]).toEqual([1, 4, 1, 1]);
  });
});

describe('the learning-rate schedule', () => {
  it('is laid out over server steps, or with arrival and replicas over the part’s own', () => {
    const test = { counts: [30, 20], batch: 10, epoch: 0 };
    const steps = (order: Order) => {
      const schedule = scheduleOf(order, test);
      return [schedule.scheduledSteps('server'), schedule.scheduledSteps(0), schedule.scheduledSteps(1)];
    };
    expect(steps('union')).toEqual([15, 15, 15]);
    expect(steps('turns')).toEqual([15, 15, 15]);
    expect(steps('arrival')).toEqual([15, 9, 6]);
    expect(steps('none')).toEqual([15, 9, 6]);
  });
});

describe('the order of an epoch', () => {
  it('is a permutation of its own for each site and epoch', () => {
    const orders = [epochOrder(1, 0, 0, 50), epochOrder(1, 1, 0, 50), epochOrder(1, 0, 1, 50), epochOrder(2, 0, 0, 50)];
    for (const order of orders)
      expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect(new Set(orders.map((order) => order.join())).size).toBe(4);
    expect(epochOrder(1, 0, 0, 50)).toEqual(orders[0]);
  });
});

it('counts steps upwards', () => {
  expect([stepCount(20, 10), stepCount(21, 10), stepCount(1, 10)]).toEqual([2, 3, 1]);
});
