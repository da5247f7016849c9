// Processes of a study are killed when all is trained: while they write their results, and before and after they tell each other so. Started
// again they end, each with exit code 0 and with what it ends with when nobody disturbs it.

import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { folder } from '../e2e/septum.ts';
import { type Death, type KillOutcome, type KillStudy, runStudy, studies } from './kill-runs.ts';
import { writeStudy } from './process-study.ts';

const named = (name: string): KillStudy => studies.find((study) => study.name === name) as KillStudy;

type AtTheEnd = Pick<Death, 'first' | 'phase' | 'nth' | 'late'>;
const siteWrites: AtTheEnd = { first: 'site-1', phase: 'results', nth: 1, late: false };
const siteHasAll: AtTheEnd = { first: 'site-1', phase: 'end', nth: 1, late: false };
const serverWrites: AtTheEnd = { first: 'server', phase: 'results', nth: 1, late: false };
const serverHasAll: AtTheEnd = { first: 'server', phase: 'end', nth: 1, late: false };
const serverToldOne: AtTheEnd = { first: 'server', phase: 'end', nth: 1, late: true };

const deaths: readonly (readonly [string, string, Death])[] = [
  ['union-mirrored', 'a site that writes its model', { victim: 'site', ...siteWrites }],
  ['union-mirrored', 'a site that has its model, and has not said so', { victim: 'site', ...siteHasAll }],
  ['union-mirrored', 'a server that writes its results', { victim: 'server', ...serverWrites }],
  ['union-mirrored', 'a server that has its results, and has not said so', { victim: 'server', ...serverHasAll }],
  ['union-mirrored', 'a server that has told one site', { victim: 'server', ...serverToldOne }],
  ['union-mirrored', 'all, when one site writes its model', { victim: 'all', ...siteWrites }],
  ['union-private-secret', 'a site that writes its model', { victim: 'site', ...siteWrites }],
  ['union-private-secret', 'all, when the server has told one site', { victim: 'all', ...serverToldOne }],
  ['labels-at-sites', 'all, when one site writes its model', { victim: 'all', ...siteWrites }],
  ['detached', 'a site that writes its model', { victim: 'site', ...siteWrites }],
  ['detached', 'a server that has told one site', { victim: 'server', ...serverToldOne }],
];

/** A server that does not know who has ended waits so long for him. */
const flags = ['--timeout', '20'];

let place: string;
const undisturbed = new Map<string, Promise<KillOutcome>>();
beforeAll(() => {
  place = folder();
});

function undisturbedRun(study: KillStudy): Promise<KillOutcome> {
  const at = join(place, study.name);
  const ran = undisturbed.get(study.name) ?? writeStudy(at, study).then(() => runStudy(at, `${at}-undisturbed`));
  undisturbed.set(study.name, ran);
  return ran;
}

describe('SIGKILL at the end of a study', () => {
  test.each(deaths)('%s: of %s loses nothing', { timeout: 240_000 }, async (name, _, death) => {
    const expected = await undisturbedRun(named(name));
    const state = join(place, `${name}-${death.victim}-${death.first}-${death.phase}-${death.late}`);
    const { signal, figures, parameters, redone } = await runStudy(join(place, name), state, death, flags);
    expect(signal).toBe('SIGKILL');
    expect(redone).toBe(0);
    expect(figures).toEqual(expected.figures);
    expect(parameters).toEqual(expected.parameters);
    for (const party of ['site-1', 'site-2']) expect(parameters[party]).toContain('joined.onnx');
  });
});
