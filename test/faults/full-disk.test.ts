// Disks that fill up or become read-only under real processes: what cannot be written is said, with what to do, the last commit is whole,
// and with room the study goes on to the bits that it has when nothing happens.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { folder, type Running, start } from '../e2e/septum.ts';
import { lipidStudy } from '../e2e/studies.ts';
import {
  type ProcessOutcome,
  ProcessStudy,
  type StateFolder,
  sites,
  type StudyText,
  writeStudy,
} from './process-study.ts';
import { bytesIn, SmallDisks, whyNoDisks } from './small-disk.ts';

const page = 4096;
const why = whyNoDisks();
const private_: StudyText = { name: 'private', choices: 'labels: server, segments: private' };
const mirrored: StudyText = { name: 'mirrored', choices: 'labels: server' };
const arrival: StudyText = { name: 'arrival', choices: 'labels: server, order: arrival, segments: private' };
const detached: StudyText = { name: 'detached', choices: 'labels: server, when: detached, order: none' };

let place: string;
let disks: SmallDisks;
const undisturbed = new Map<string, Promise<{ readonly study: ProcessStudy; readonly outcome: ProcessOutcome }>>();

beforeAll(() => {
  place = folder();
});

/** The study's folder, and what it ends with when there is room. */
function inPeace(text: StudyText) {
  const run = async () => {
    await writeStudy(join(place, text.name), text);
    const study = await ProcessStudy.prepare(join(place, text.name), join(place, `${text.name}-in-peace`));
    await study.server();
    for (const site of sites) study.site(site);
    return { study, outcome: await study.ended() };
  };
  const known = undisturbed.get(text.name) ?? run();
  undisturbed.set(text.name, known);
  return known;
}

/** A run whose server or site-1 has its state on a small disk. */
async function onDisk(text: StudyText, name: string, party: 'server' | 'site-1', state: StateFolder) {
  const study = await ProcessStudy.prepare(join(place, text.name), join(place, name), { [party]: state });
  const startAll = async () => {
    await study.server(party === 'server' ? disks.options : undefined);
    for (const site of sites) study.site(site, party === site ? disks.options : undefined);
  };
  return { study, startAll };
}

/** The end of a process that could not write: exit code 1, an error without a stack, what is wrong and what to do. */
async function expectFailed(running: Running | undefined, ...said: readonly RegExp[]): Promise<void> {
  const { code, stderr } = await (running as Running).ended;
  for (const pattern of said) expect(stderr).toMatch(pattern);
  expect(stderr).not.toMatch(/^ {4}at /m);
  expect(code).toBe(1);
}

const stateOf = (name: string, party: string): string => join(place, name, party);

describe.skipIf(why !== undefined)(
  `small disks${why === undefined ? '' : ` (skipped: ${why})`}`,
  { timeout: 300_000 },
  () => {
    beforeAll(async () => {
      place = folder();
      disks = await SmallDisks.open();
    });
    afterAll(() => disks[Symbol.asyncDispose]());

    test('the server’s disk is full at a commit, and still when it is started again', async () => {
      const { study: model, outcome } = await inPeace(private_);
      const commits = join(model.folder('server'), 'commits');
      const others = ['log.jsonl', 'plan.json', 'study.yaml'].map((file) => readFileSync(join(model.folder('server'), file)).length); // prettier-ignore
      const bytes = others.reduce((sum, size) => sum + Math.ceil(size / page) * page, page);
      const state = disks.mount(stateOf('full', 'server'), bytes + Math.round(1.25 * bytesIn(commits)));
      // The registry, which no study waits for, has another disk.
      symlinkSync(join(place, 'full-registry.db'), join(state.forTest, 'registry.db'));
      const { study, startAll } = await onDisk(private_, 'full', 'server', state);
      await startAll();
      await expectFailed(study.processes.get('server'), /cannot write.*ENOSPC.*; make room on its disk and start again with the same folders/); // prettier-ignore
      for (const site of sites) await expectFailed(study.processes.get(site), /study-stopped/);
      const kept = await study.lastCommit('server');

      disks.fill(state.forProcess);
      await expectFailed(study.startServer(disks.options), /ENOSPC.*; make room/);
      // Room for no more than the notes that a start makes.
      disks.fill(state.forProcess, page);
      await expectFailed(study.startServer(disks.options), /ENOSPC.*; make room/);
      expect(await study.lastCommit('server')).toEqual(kept);

      disks.enlarge(state.forProcess);
      await startAll();
      expect(await study.ended()).toEqual(outcome);
      expect(readFileSync(join(study.folder('server'), 'log.jsonl'), 'utf8')).toMatch(
        /"event":"resumed".*"step":[1-9]/,
      );
    });

    test('the disk of a site’s commits is full: the site stops, the study waits for it', async () => {
      const { outcome } = await inPeace(private_);
      const state = stateOf('commits', 'site-1');
      const { study, startAll } = await onDisk(private_, 'commits', 'site-1', { forProcess: state, forTest: state });
      disks.mount(join(state, 'commits'), 2 * page);
      await startAll();
      await expectFailed(study.processes.get('site-1'), /commit: cannot write: ENOSPC.*; make room/);
      const server = study.processes.get('server') as Running;
      await server.says(/site-1/);
      const view = await ProcessStudy.prepare(join(place, private_.name), join(place, 'commits'), { 'site-1': { forProcess: state, forTest: disks.seen(state) } }); // prettier-ignore
      expect((await view.lastCommit('site-1'))[0]).toBe('commit 12');
      disks.enlarge(join(state, 'commits'));
      study.site('site-1', disks.options);
      await Promise.all([...study.processes.values()].map(({ ended }) => ended));
      expect(await view.outcome()).toEqual(outcome);
      expectNothingOf(state, server, join(study.folder('server'), 'log.jsonl'));
    });

    test('the ledger’s disk is full: nothing more leaves the site, and the ledger holds', async () => {
      const { outcome } = await inPeace(private_);
      const state = stateOf('ledger', 'site-1');
      const { study, startAll } = await onDisk(private_, 'ledger', 'site-1', { forProcess: state, forTest: state });
      disks.mount(join(state, 'ledger'), 5 * page);
      await startAll();
      await expectFailed(study.processes.get('site-1'), /ledger.*: cannot write.*: ENOSPC.*; make room/);
      const verify = () => start(['ledger', 'verify', '--state', state], disks.options).ended;
      expect(await verify()).toMatchObject({ code: 0 });
      // What stands there is what left: the server has had no more messages than the ledger has.
      disks.enlarge(join(state, 'ledger'));
      study.site('site-1', disks.options);
      expect(await study.ended()).toEqual(outcome);
      expect(await verify()).toMatchObject({ code: 0 });
      expectNothingOf(state, study.processes.get('server') as Running, join(study.folder('server'), 'log.jsonl'));
    });

    test.each([
      ['log.jsonl', mirrored],
      ['order.jsonl', arrival],
    ] as const)('the disk of the server’s %s is full', async (file, text) => {
      const name = `${text.name}-log`;
      const { outcome } = await inPeace(text);
      const disk = disks.mount(join(place, `${name}-disk`), page);
      mkdirSync(stateOf(name, 'server'), { recursive: true });
      symlinkSync(join(disk.forProcess, file), join(stateOf(name, 'server'), file));
      // A page is more than the order of so small a study: some of it is taken.
      if (file === 'order.jsonl') disks.run('sh', '-c', `head -c ${page - 600} /dev/zero > ${disk.forProcess}/ballast`);
      const state = { forProcess: stateOf(name, 'server'), forTest: stateOf(name, 'server') };
      const { study, startAll } = await onDisk(text, name, 'server', state);
      await startAll();
      await expectFailed(
        study.processes.get('server'),
        new RegExp(`${file}: cannot write the log: ENOSPC.*; make room`),
      );
      for (const site of sites) await expectFailed(study.processes.get(site), /study-stopped/);
      disks.enlarge(disk.forProcess);
      await startAll();
      const ended = await study.ended();
      // Who came when is chance with `arrival`: kill-runs.test.ts replays it.
      if (text !== arrival) expect(ended).toEqual(outcome);
    });

    test('the disk of the activations is full', async () => {
      const { study: model, outcome } = await inPeace(detached);
      const name = 'activations-full';
      const size = bytesIn(join(model.folder('server'), 'activations'));
      const state = { forProcess: stateOf(name, 'server'), forTest: stateOf(name, 'server') };
      const { study, startAll } = await onDisk(detached, name, 'server', state);
      const disk = disks.mount(join(state.forProcess, 'activations'), Math.floor(size / 2 / page) * page);
      await startAll();
      await expectFailed(study.processes.get('server'), /activations.*ENOSPC.*; make room/);
      disks.enlarge(disk.forProcess);
      await startAll();
      expect(await study.ended()).toEqual(outcome);
    });

    test('the server’s commits become read-only, and its folder is read-only at a start', async () => {
      const { outcome } = await inPeace(private_);
      const name = 'read-only';
      const state = { forProcess: stateOf(name, 'server'), forTest: disks.seen(stateOf(name, 'server')) };
      const whole = disks.mount(state.forProcess);
      const commits = disks.mount(join(state.forProcess, 'commits'));
      const { study, startAll } = await onDisk(private_, name, 'server', state);
      await startAll();
      while (!existsSync(commits.forTest) || !readdirSync(commits.forTest).some((file) => file.endsWith('.commit')))
        await new Promise((settle) => setTimeout(settle, 2));
      disks.setReadOnly(commits.forProcess, true);
      await expectFailed(
        study.processes.get('server'),
        /EROFS.*; the disk is read-only: make it writable and start again/,
      );
      for (const site of sites) await expectFailed(study.processes.get(site), /study-stopped/);
      await study.lastCommit('server');
      disks.setReadOnly(whole.forProcess, true);
      await expectFailed(study.startServer(disks.options), /EROFS.*; the disk is read-only: make it writable/);
      disks.setReadOnly(whole.forProcess, false);
      disks.setReadOnly(commits.forProcess, false);
      await startAll();
      expect(await study.ended()).toEqual(outcome);
    });

    test('the folder of septum run is on a disk that fills up', async () => {
      const study = lipidStudy(folder());
      const [peace, out] = [join(place, 'run-in-peace'), join(place, 'run-full')];
      expect((await start(['run', study, '--out', peace]).ended).code).toBe(0);
      const others = ['log.jsonl', 'plan.json', 'study.yaml'].map((file) => readFileSync(join(peace, file)).length);
      const bytes = others.reduce((sum, size) => sum + Math.ceil(size / page) * page, 0);
      const disk = disks.mount(out, bytes + Math.round(1.25 * bytesIn(join(peace, 'commits'))));
      const run = start(['run', study, '--out', out], disks.options);
      await expectFailed(run, /cannot write.*ENOSPC.*; make room/, /--resume goes on with it/);
      disks.enlarge(out);
      const again = await start(['run', study, '--out', out, '--resume'], disks.options).ended;
      expect(again.stderr).not.toContain('septum: ');
      expect(again.code).toBe(0);
      for (const file of ['joined.onnx', 'segment.onnx', 'trunk.onnx'])
        expect(readFileSync(join(disk.forTest, 'model', file))).toEqual(readFileSync(join(peace, 'model', file)));
    });
  },
);

const limited = spawnSync('prlimit', ['--version']).status === 0;

test.skipIf(!limited)(
  `a site that may not write a file as large as its ledger${limited ? '' : ' (skipped: there is no prlimit here)'}`,
  { timeout: 300_000 },
  async () => {
    const { outcome } = await inPeace(private_);
    const [site, other] = sites as [string, string];
    const study = await ProcessStudy.prepare(join(place, private_.name), join(place, 'limited'));
    await study.server();
    study.site(site, { within: ['prlimit', '--fsize=5000'] });
    study.site(other);
    await expectFailed(study.processes.get(site), /cannot write the ledger: EFBIG.*; raise the largest size of a file/);
    study.site(site);
    expect(await study.ended()).toEqual(outcome);
  },
);

/** Neither what the server said nor its log names anything of a site's folder. */
function expectNothingOf(state: string, server: Running, log: string): void {
  expect(server.said()).not.toContain(state);
  expect(readFileSync(log, 'utf8')).not.toContain(state);
}
