// Several studies behind one listener: each is as it is alone, and none is seen from another.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { toHex } from '../../src/base/index.ts';
import { systemClock } from '../../src/base/node/index.ts';
import { enrol, hello, type Message, planHash, type Signer, SiteProof, withdraw } from '../../src/protocol/index.ts';
import { Reception, type ServerEvent } from '../../src/server/index.ts';
import type { Registry } from '../../src/store/index.ts';
import { openKeyFile, readLedger, verifyLedger } from '../../src/store/node/index.ts';
import {
  Door,
  enterStudy,
  inviteSite,
  joinedStudies,
  joinStudy,
  ledgerFolder,
  openEnrolment,
  openRegistry,
  readInvite,
  withdrawFromStudy,
} from '../../src/study/index.ts';
import { connectWebSocket, listenWebSocket, type WebSocketListener } from '../../src/transport/node/index.ts';
import { planStudy } from '../harness/study.ts';
import { frameOf } from './mutations.ts';
import { type Outcome, type PartySettings, type Planned, serve, takePart } from './party.ts';
import { received } from './pretender.ts';

const named = (planned: Planned, study: string): Planned => ({ ...planned, plan: { ...planned.plan, study } });
const lipids = named(planStudy({ counts: [30, 20, 10] }), 'lipids');
const bones = named(planStudy({ counts: [20, 15], seed: 5, choices: { segments: 'private' } }), 'bones');
const resultOf = ({ parameters, figures }: Outcome) => ({ parameters, figures });
const notAdmitted = { kind: 'refuse', text: expect.stringMatching(/^not-admitted: /), scalars: [0] };

let alone: ReadonlyMap<string, Outcome>;
let folder: string;
let opened: Registry;
let door: Door;
let listener: WebSocketListener;
let reception: Reception;
let receiving: Promise<void>;
const ending: AbortController[] = [];
const refused: string[] = [];
const events: (ServerEvent & { readonly study: string })[] = [];

beforeAll(async () => {
  const ends = new Map<string, Outcome>();
  for (const planned of [lipids, bones]) {
    const own = await listenWebSocket();
    const server = serve(planned, own);
    const connect = (signal: AbortSignal) => connectWebSocket(own.address, { signal });
    await Promise.all(planned.plan.sites.map((_, index) => takePart(planned, index, connect)));
    ends.set(planned.plan.study, await server);
  }
  alone = ends;
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'septum-several-'));
  opened = await openRegistry(serverFolder());
  door = await Door.open(serverFolder(), opened);
  listener = await listenWebSocket(door.listening(({ code }) => refused.push(code)));
  const onRefused = (_remote: string, _reason: string, code: string) => void refused.push(code);
  reception = new Reception({ listener, gate: door.gate, clock: systemClock, onRefused });
  for (const { plan } of [lipids, bones]) {
    enterStudy(opened, plan, { address: listener.address });
    reception.announce({ study: plan.study, planHash: planHash(plan), sites: plan.sites });
  }
  const controller = new AbortController();
  ending.push(controller);
  receiving = reception.run(controller.signal).catch(() => undefined);
});
afterEach(async () => {
  for (const controller of ending.splice(0)) controller.abort(new Error('enough'));
  await listener.close();
  await receiving;
  await door[Symbol.asyncDispose]();
  await opened[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
  refused.length = events.length = 0;
});

const serverFolder = () => join(folder, 'server');
const siteFolder = (site: string) => join(folder, `site-${site}`);

function serveStudy(planned: Planned, settings: PartySettings = {}): Promise<Outcome> {
  return serve(planned, listener, { ...settings, reception }, (event) => {
    events.push({ ...event, study: planned.plan.study });
    if (event.kind === 'refused') refused.push(event.code);
  });
}

async function invited(planned: Planned, site: string): Promise<string> {
  return (await inviteSite(serverFolder(), { site, study: planned.plan.study, validMs: 60_000 })).text;
}

/** Has a site join a study, in its folder; gives where it has what it has of it. */
async function joins(planned: Planned, site: string): Promise<string> {
  const invite = readInvite(await invited(planned, site));
  return joinStudy(siteFolder(site), invite, { signal: new AbortController().signal });
}

async function takesPart(planned: Planned, site: string): Promise<Outcome> {
  const place = (await joinedStudies(siteFolder(site))).get(planned.plan.study)!;
  const { keys } = await openEnrolment(place);
  const connect = (signal: AbortSignal) => connectWebSocket(listener.address, { signal });
  return takePart(planned, planned.plan.sites.indexOf(site), connect, { keys });
}

/** The answer to one message with the proof of whoever has `signer`. */
async function answerTo(says: Message, signer: Signer, token = ''): Promise<Message | undefined> {
  const connection = await connectWebSocket(listener.address);
  const challenge = (await received(connection))!;
  const place = [...(await joinedStudies(siteFolder('A'))).values()][0]!;
  const { identity, cryptography } = (await openEnrolment(place)).keys;
  const end = { signer, cryptography, binding: connection.binding! };
  await connection.send([frameOf(new SiteProof(end, identity, challenge).sign(says, token))]);
  const answer = await received(connection);
  await connection.close();
  return answer;
}

const keyIn = (place: string): Promise<Signer> => openKeyFile(join(place, 'site.key'));

describe('two studies of one server', () => {
  test('end with the bits that each has alone, also with sites that are in both', async () => {
    const servers = [serveStudy(lipids), serveStudy(bones)];
    for (const site of lipids.plan.sites) await joins(lipids, site);
    for (const site of bones.plan.sites) await joins(bones, site);
    expect([...(await joinedStudies(siteFolder('A')))]).toEqual([
      ['lipids', siteFolder('A')],
      ['bones', join(siteFolder('A'), 'studies', 'bones')],
    ]);
    const sites = [lipids, bones].flatMap((planned) => planned.plan.sites.map((site) => takesPart(planned, site)));
    const [ofLipids, ofBones] = await Promise.all(servers);
    await Promise.all(sites);
    expect(resultOf(ofLipids!)).toEqual(resultOf(alone.get('lipids')!));
    expect(resultOf(ofBones!)).toEqual(resultOf(alone.get('bones')!));
    expect(ofLipids!.parameters).not.toBe(ofBones!.parameters);
    expect(refused).toEqual([]);
  });

  test('one that fails is no matter to the other, and its sites hear that it is over', async () => {
    const stop = new AbortController();
    const failing = serveStudy(lipids, { signal: stop.signal }).catch((error: unknown) => error);
    const going = serveStudy(bones);
    for (const site of ['A', 'B']) for (const planned of [lipids, bones]) await joins(planned, site);
    const first = takesPart(lipids, 'A').catch((error: unknown) => error);
    const other = takesPart(bones, 'A');
    while (events.filter(({ kind }) => kind === 'site').length < 2) await new Promise((done) => setTimeout(done, 10));
    stop.abort(new Error('it breaks'));
    expect(await failing).toMatchObject({ message: 'it breaks' });
    expect(await first).toMatchObject({ code: 'refused-by-peer' });
    await expect(takesPart(lipids, 'B')).rejects.toThrow('the server refused: study-stopped: the study is over');
    const last = takesPart(bones, 'B');
    expect(resultOf(await going)).toEqual(resultOf(alone.get('bones')!));
    for (const { tally } of await Promise.all([other, last])) expect(tally).toEqual({ connected: 1 });
  });

  test('a study whose server is not ready has its sites come again', async () => {
    const going = serveStudy(bones);
    for (const planned of [lipids, bones]) for (const site of planned.plan.sites) await joins(planned, site);
    const early = takesPart(lipids, 'A');
    while (!refused.includes('going-back')) await new Promise((done) => setTimeout(done, 10));
    const late = serveStudy(lipids);
    const others = [takesPart(lipids, 'B'), takesPart(lipids, 'C'), takesPart(bones, 'A'), takesPart(bones, 'B')];
    expect(resultOf(await late)).toEqual(resultOf(alone.get('lipids')!));
    expect(resultOf(await going)).toEqual(resultOf(alone.get('bones')!));
    await Promise.all([early, ...others]);
  });
});

describe('a site of one study', () => {
  test('is not let into another, and does not learn whether there is one', async () => {
    const stop = new AbortController();
    const servers = [lipids, bones].map((planned) =>
      serveStudy(planned, { signal: stop.signal }).catch(() => undefined),
    );
    const place = await joins(lipids, 'A');
    const key = await keyIn(place);
    const told = [];
    for (const plan of [planHash(bones.plan), 'ab'.repeat(32)])
      told.push(await answerTo(hello('A', plan, 0, 'peer'), key));
    expect(told[0]).toMatchObject({ kind: 'refuse', text: expect.stringMatching(/^plan-mismatch: /), scalars: [0] });
    expect(told[0]).toEqual(told[1]);
    // Nor does one that takes a name of the other study.
    for (const plan of [planHash(bones.plan), planHash(lipids.plan), 'ab'.repeat(32)])
      expect(await answerTo(hello('B', plan, 0, 'peer'), key)).toMatchObject(notAdmitted);
    const stranger = await openKeyFile(join(folder, 'stranger.key'));
    const words = new Set<string>();
    for (const plan of [planHash(bones.plan), 'ab'.repeat(32)])
      words.add((await answerTo(hello('A', plan, 0, 'peer'), stranger))!.text);
    expect([...words]).toEqual([expect.stringMatching(/^not-admitted: /)]);
    expect(refused.filter((code) => code === 'wrong-key')).toHaveLength(5);
    expect(refused.filter((code) => code === 'plan-mismatch')).toHaveLength(2);
    stop.abort(new Error('enough'));
    await Promise.all(servers);
  });

  test('does not become one of another’s by its invite, nor withdraws another’s', async () => {
    const place = await joins(lipids, 'A');
    const token = toHex(readInvite(await invited(lipids, 'B')).token);
    const fresh = await openKeyFile(join(folder, 'fresh.key'));
    for (const study of ['bones', 'hearts'])
      expect(await answerTo(enrol('B', study), fresh, token)).toMatchObject(notAdmitted);
    await joins(bones, 'B');
    const key = await keyIn(place);
    for (const [site, study] of [
      ['B', 'bones'],
      ['A', 'bones'],
      ['B', 'lipids'],
      ['A', 'hearts'],
    ] as const)
      expect(await answerTo(withdraw(site, study), key)).toMatchObject(notAdmitted);
    expect([opened.book.withdrawn('lipids'), opened.book.withdrawn('bones')]).toEqual([[], []]);
    // Without a key nobody is withdrawn either, and nothing else may be in the message.
    expect(await answerTo({ ...withdraw('A', 'lipids'), step: 1 }, key)).toMatchObject({
      text: expect.stringMatching(/^bad-field: withdraw carries step/),
    });
    expect(opened.book.withdrawn('lipids')).toEqual([]);
  });

  test('that withdraws is out at once and for good, of this study alone', async () => {
    const going = serveStudy(bones);
    const stop = new AbortController();
    const left = serveStudy(lipids, { signal: stop.signal }).catch((error: unknown) => error);
    for (const planned of [lipids, bones]) for (const site of planned.plan.sites) await joins(planned, site);
    const taking = takesPart(lipids, 'A').catch((error: unknown) => error);
    while (!events.some(({ kind, study }) => kind === 'site' && study === 'lipids'))
      await new Promise((done) => setTimeout(done, 10));
    const { signal } = new AbortController();
    const noted: string[] = [];
    const onNoted = (site: string, place: string) => void noted.push(site, place);
    for (let times = 0; times < 2; times++) await withdrawFromStudy(siteFolder('A'), 'lipids', { signal, onNoted });
    expect(noted).toEqual(['A', siteFolder('A'), 'A', siteFolder('A')]);
    expect(await taking).toMatchObject({
      message: 'the server refused: withdrawn: site A has withdrawn from the study',
    });
    expect(events.filter(({ kind }) => kind === 'withdrawn')).toMatchObject([{ site: 'A', study: 'lipids' }]);
    expect(opened.book.withdrawn('lipids')).toEqual(['A']);
    await expect(invited(lipids, 'A')).rejects.toThrow(/site A has withdrawn from study lipids/);
    await expect(takesPart(lipids, 'A')).rejects.toThrow(/refused: withdrawn/);
    expect((await openEnrolment(siteFolder('A'))).withdrawn).toMatch(/^\d{4}-/);
    const entries: string[] = [];
    for await (const { what, kind } of readLedger(ledgerFolder(siteFolder('A'))))
      entries.push(what === 'sent' ? String(kind) : what);
    expect(entries.filter((entry) => entry !== 'opened' && entry !== 'seal')).toEqual([
      'withdrawn',
      'withdraw',
      'withdraw',
    ]);
    const { publicKey } = await keyIn(siteFolder('A'));
    expect(await verifyLedger(ledgerFolder(siteFolder('A')), publicKey)).toMatchObject({ closed: true });
    await expect(withdrawFromStudy(siteFolder('A'), 'hearts', { signal })).rejects.toThrow(
      /has not joined study hearts; it has joined lipids, bones/,
    );
    const others = bones.plan.sites.map((site) => takesPart(bones, site));
    expect(resultOf(await going)).toEqual(resultOf(alone.get('bones')!));
    await Promise.all(others);
    stop.abort(new Error('enough'));
    await left;
  });
});
