// A site's files that are removed, cut short or replaced while real processes train on them: the site says which, the server learns of no
// name, and with the files put back the study ends with the bits that it has when nothing happens.

import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { folder, type Running } from '../e2e/septum.ts';
import { killedAt } from './kill-runs.ts';
import { type ProcessOutcome, ProcessStudy, sites, type StudyText, writeStudy } from './process-study.ts';

const table: StudyText = { name: 'table', choices: 'labels: server' };
const images: StudyText = { name: 'images', choices: 'labels: server', images: true };

let place: string;
beforeAll(() => {
  place = folder();
});

/** A study on records of its own, in its sites' files under `place/NAME`. */
async function begin(text: StudyText, name: string): Promise<ProcessStudy> {
  await writeStudy(join(place, name), text);
  const study = await ProcessStudy.prepare(join(place, name), join(place, `${name}-state`));
  await study.server();
  for (const site of sites) study.site(site);
  return study;
}

const known = new Map<string, Promise<ProcessOutcome>>();

/** What the study ends with when nothing happens. */
function inPeace(text: StudyText): Promise<ProcessOutcome> {
  const outcome = known.get(text.name) ?? begin(text, `${text.name}-in-peace`).then((study) => study.ended());
  known.set(text.name, outcome);
  return outcome;
}

/** Nothing that the server keeps or says names a file of a site's, or the folder in which it is. */
function expectNoNames(study: ProcessStudy, server: Running, ...names: readonly string[]): void {
  const kept = ['log.jsonl', 'metrics.json', 'report.html'].map((file) => readFileSync(join(study.folder('server'), file), 'utf8')); // prettier-ignore
  for (const name of names) for (const text of [server.said(), ...kept]) expect(text).not.toContain(name);
}

describe('records that go while a study runs', { timeout: 300_000 }, () => {
  test.each([
    ['removed', (file: string) => rmSync(file), /cannot be read: ENOENT.*; put back the file/],
    ['cut short', (file: string) => writeFileSync(file, readFileSync(file).subarray(0, 60)), /cannot be decoded/],
  ] as const)('an image that is %s', async (name, spoil, said) => {
    const outcome = await inPeace(images);
    const study = await begin(images, `image-${name.split(' ')[0]}`);
    const site = study.processes.get('site-1') as Running;
    const server = study.processes.get('server') as Running;
    const data = join(place, `image-${name.split(' ')[0]}`, 'site-1-data');
    // Of the test part, which nobody reads before training is over.
    const image = 'image-4.png';
    await site.says(/train 48/);
    copyFileSync(join(data, image), join(place, 'kept.png'));
    spoil(join(data, image));
    const { code, stderr } = await site.ended;
    expect(stderr).toMatch(new RegExp(`site-1-data/${image}: ${said.source}`));
    expect(stderr).not.toMatch(/^ {4}at /m);
    expect(code).toBe(1);
    expect((await study.lastCommit('site-1'))[0]).toBe('commit 48');

    copyFileSync(join(place, 'kept.png'), join(data, image));
    study.site('site-1');
    expect(await study.ended()).toEqual(outcome);
    expectNoNames(study, server, image, 'site-1-data');
  });

  test.each([
    ['removed', (file: string) => rmSync(file)],
    ['replaced', (file: string) => writeFileSync(file, readFileSync(file, 'utf8').replaceAll(',1', ',2'))],
  ] as const)('a table that is %s: nothing reads it again, and no process starts with it', async (name, spoil) => {
    const outcome = await inPeace(table);
    const study = await begin(table, `table-${name.split(' ')[0]}`);
    const site = study.processes.get('site-1') as Running;
    const server = study.processes.get('server') as Running;
    const file = join(place, `table-${name.split(' ')[0]}`, 'site-1.csv');
    await site.says(/train 48/);
    const was = readFileSync(file);
    spoil(file);
    expect(await study.ended()).toEqual(outcome);

    // Another run, of which the site is killed: it does not come in again without its records.
    rmSync(study.folder('server'), { recursive: true });
    for (const each of sites) rmSync(study.folder(each), { recursive: true });
    writeFileSync(file, was);
    await study.server();
    const dying = study.site('site-1', killedAt({ phase: 'rename', nth: 3, late: true }));
    study.site('site-2');
    expect((await dying.ended).signal).toBe('SIGKILL');
    spoil(file);
    const { code, stderr } = await study.site('site-1').ended;
    expect(stderr).toMatch(/site-1\.csv: there is no such file|not those with which/);
    expect(code).toBe(1);
    writeFileSync(file, was);
    // A site that has no records does not connect, and is waited for; with other records than before the study stops.
    if (name !== 'replaced') study.site('site-1');
    else {
      for (const stopped of study.processes.values()) expect((await stopped.ended).code).toBe(1);
      await study.server();
      for (const each of sites) study.site(each);
    }
    expect(await study.ended()).toEqual(outcome);
    expectNoNames(study, server, 'site-1.csv');
  });
});
