// A server that demands certificates: whoever has no site's key and no invite is cut off with the TLS handshake, and HTTP never hears of it.

import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { toHex } from '../../src/base/index.ts';
import { hello, planHash } from '../../src/protocol/index.ts';
import { openKeyFile } from '../../src/store/node/index.ts';
import {
  joinStudy,
  openEnrolment,
  readInvite,
  revokeSite,
  siteCertificate,
  withdrawFromStudy,
} from '../../src/study/index.ts';
import { type Certificate, certifyItself, makeCertificate } from '../../src/transport/node/index.ts';
import { planStudy } from '../harness/study.ts';
import { ConnectProxy } from './connect-proxy.ts';
import { Guarded } from './guarded.ts';
import { answerTo, openedTo, provedTo } from './opened.ts';
import { fastClock, type Outcome } from './party.ts';
import { TlsRelay } from './tls-relay.ts';

const planned = planStudy({ counts: [30, 20, 10] });
const { sites } = planned.plan;
const hash = planHash(planned.plan);
const resultOf = ({ parameters, figures }: Outcome) => ({ parameters, figures });

let undisturbed: Outcome;
let guarded: Guarded;
let ending: AbortController;
beforeAll(async () => {
  const quiet = await Guarded.open(planned);
  const server = quiet.serve();
  for (const site of sites) await quiet.enrol(site);
  await Promise.all(sites.map((site) => quiet.takePart(site)));
  undisturbed = await server;
  await quiet.close();
});
beforeEach(async () => {
  ending = new AbortController();
  guarded = await Guarded.open(planned, { mutualTls: true });
});
afterEach(async () => {
  ending.abort(new Error('enough'));
  await guarded.close();
});

/** Has the server take in sites until the test ends. Gives the names of those that have connected. */
function receive(): readonly string[] {
  const connected: string[] = [];
  guarded.serve({ signal: ending.signal }, (site) => connected.push(site)).catch(() => undefined);
  return connected;
}

const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));
const codes = (): string[] => guarded.refusals.map(({ code }) => code);
const ownCertificate = (): Certificate =>
  certifyItself(generateKeyPairSync('ed25519').privateKey, 'septum site', Date.now(), 3_600_000);
const certificateOf = async (site: string, place = site): Promise<Certificate> =>
  siteCertificate(await openKeyFile(join(guarded.siteFolder(place), 'site.key')));

/** What a peer is answered that finishes the TLS handshake and asks for a page; '' when it is cut off. */
function answered(options: ConnectionOptions = {}, onSession: (session: Buffer) => void = () => undefined) {
  const port = Number(new URL(guarded.url).port);
  return new Promise<string>((resolve) => {
    let text = '';
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
    socket.on('error', () => undefined);
    socket.on('session', onSession);
    socket.on('data', (bytes) => (text += bytes.toString('latin1')));
    socket.on('close', () => resolve(text));
    // It goes out with the end of the handshake, before the server has seen that.
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  });
}

/** The name in a certificate. */
const nameIn = ({ cert }: Certificate): string => new X509Certificate(cert).subject.replace(/^CN=/, '');

/** HTTP's own answer: this connection reached it. */
const fromHttp = expect.stringMatching(/^HTTP\/1\.1 426 /);

describe('HTTP never hears of a peer', () => {
  beforeEach(async () => {
    receive();
    await guarded.enrol('A');
    // Who is asked for is another's: an invite that is open lets nobody in but who has it.
    await guarded.invite('B');
  });
  afterEach(async () => {
    // The same request is answered where it is let through.
    const answer = await answered(await certificateOf('A'));
    if (!answer.startsWith('HTTP/1.1 426 ')) throw new Error(`a site does not reach HTTP: ${answer}`);
  });

  test('without a certificate', async () => {
    expect(await answered()).toBe('');
    expect(codes()).toEqual(['no-certificate']);
  });

  test('with a certificate on another kind of key', async () => {
    const identity = generateKeyPairSync('ed25519').privateKey;
    expect(await answered(makeCertificate(identity, Date.now(), 3_600_000))).toBe('');
    expect(codes()).toEqual(['no-certificate']);
  });

  test('with more certificates than a handshake holds', async () => {
    const { cert, key } = await certificateOf('A');
    const { cert: more } = ownCertificate();
    expect(await answered({ cert: cert + more.repeat(500), key })).toBe('');
    expect(codes()).toEqual(['no-tls']);
    expect(guarded.refusals[0]!.reason).toContain('excessive message size');
  });

  test('with a certificate on a key of nobody, whatever it says of an invite', async () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const stranger = await openKeyFile(join(guarded.folder, 'stranger.key'));
    const invited = readInvite(await guarded.invite('B'));
    // B is about to join; somebody in between has seen its certificate, and puts its words on a key of his own.
    const seen = siteCertificate(await openKeyFile(join(guarded.folder, 'next.key')), invited.token);
    const subject = nameIn(seen);
    expect(subject).toMatch(/^septum invite .{43}$/);
    for (const certificate of [
      ownCertificate(),
      siteCertificate(stranger, new Uint8Array(32)),
      certifyItself(privateKey, subject, Date.now(), 3_600_000),
      certifyItself(privateKey, 'septum invite ', Date.now(), 3_600_000),
    ])
      expect(await answered(certificate)).toBe('');
    expect(codes()).toEqual(new Array(4).fill('unknown-certificate'));
    expect(await answered(seen)).toEqual(fromHttp);
  });

  test('whose key was revoked, from that moment on, also when it goes on with a TLS session of before', async () => {
    await guarded.enrol('B');
    const certificate = await certificateOf('B');
    let session: Buffer | undefined;
    const port = Number(new URL(guarded.url).port);
    await new Promise<void>((resolve) => {
      const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ...certificate });
      socket.on('error', () => undefined).on('close', () => resolve());
      socket.once('session', (ticket) => {
        session = ticket;
        socket.destroy();
      });
    });
    expect(session).toBeDefined();
    expect(await answered(certificate)).toEqual(fromHttp);
    await revokeSite(guarded.serverFolder, { site: 'B' });
    expect(await answered(certificate)).toBe('');
    expect(await answered({ session })).toBe('');
    expect(await answered({ ...certificate, session })).toBe('');
    expect(codes()).toEqual(['revoked', 'revoked', 'revoked']);
  });

  test('whose key was replaced', async () => {
    await guarded.enrol('B');
    const former = await certificateOf('B');
    await guarded.enrol('B');
    expect(await answered(former)).toBe('');
    expect(await answered(await certificateOf('B'))).toEqual(fromHttp);
    expect(codes()).toEqual(['key-replaced']);
    expect(guarded.refusals[0]!.reason).toContain('site B');
  });

  test('by an invite that has expired, was used for another key, or was replaced', async () => {
    const key = await openKeyFile(join(guarded.folder, 'fresh.key'));
    const shown = async (invite: string) => answered(siteCertificate(key, readInvite(invite).token));
    expect(await shown(await guarded.invite('B', 0))).toBe('');
    const used = await guarded.invite('B');
    expect(await shown(used)).toEqual(fromHttp);
    await guarded.join('B', used);
    expect(await shown(used)).toBe('');
    const before = await guarded.invite('C');
    await guarded.invite('C');
    expect(await shown(before)).toBe('');
    expect(codes()).toEqual(['token-expired', 'token-spent', 'unknown-certificate']);
  });

  test('after the server’s own certificate was renewed', async () => {
    guarded.listener.useCertificate(makeCertificate(generateKeyPairSync('ed25519').privateKey, Date.now(), 3_600_000));
    expect(await answered()).toBe('');
    expect(codes()).toEqual(['no-certificate']);
  });
});

test('nobody comes in while the registry cannot be read', async () => {
  const { registry } = guarded;
  const key = await openKeyFile(join(guarded.folder, 'A.key'));
  const nowMs = Date.now();
  registry.invite(planned.plan.study, 'A', { hash: 'ab', expiresMs: nowMs + 60_000 }, nowMs);
  registry.enrol(planned.plan.study, 'A', 'ab', toHex(key.publicKey), nowMs);
  expect(await answered(siteCertificate(key))).toEqual(fromHttp);
  await registry[Symbol.asyncDispose]();
  expect(await answered(siteCertificate(key))).toBe('');
  expect(codes()).toEqual(['bad-file']);
});

test('who shows one site’s certificate and proves another’s key is refused, and told no more', async () => {
  receive();
  for (const site of ['A', 'B']) await guarded.enrol(site);
  const own = await openEnrolment(guarded.siteFolder('A'));
  for (const site of ['A', 'B'] as const) {
    const opened = await openedTo(guarded.url, await own.introduce());
    const said = await provedTo(guarded, opened, await (await guarded.keysOf(site)).open(), hello(site, hash, 0, 'x'));
    const expected = site === 'A' ? { kind: 'welcome' } : { text: expect.stringMatching(/^wrong-certificate: /) };
    expect(await answerTo(opened, said)).toMatchObject(expected);
  }
  expect(codes()).toEqual(['wrong-certificate']);
});

describe('a site', () => {
  const impatient = { clock: fastClock(20), timeoutMs: 2_000 };

  test('joins and takes part, also through a proxy, and the study ends with the bits of one without', async () => {
    const proxy = await ConnectProxy.open('pass word');
    const through = { proxy: new URL(proxy.url) };
    const server = guarded.serve();
    for (const site of ['A', 'B']) await guarded.enrol(site);
    const { signal } = ending;
    await joinStudy(guarded.siteFolder('C'), readInvite(await guarded.invite('C')), { signal, ...through });
    await Promise.all(sites.map((site) => guarded.takePart(site, site === 'C' ? through : {})));
    expect(resultOf(await server)).toEqual(resultOf(undisturbed));
    expect(codes()).toEqual([]);
    expect(proxy.targets).toHaveLength(2);
    await proxy.close();
  });

  test('whose key is replaced while it takes part goes on with its new one', async () => {
    const server = guarded.serve();
    for (const site of sites) await guarded.enrol(site);
    const first = guarded.takePart('A');
    await guarded.enrol('A');
    while (!codes().includes('key-replaced')) await soon();
    const others = await Promise.all(['B', 'C'].map((site) => guarded.takePart(site)));
    expect(resultOf(await server)).toEqual(resultOf(undisturbed));
    expect((await first).tally).toMatchObject({ connected: 2 });
    for (const { tally } of others) expect(tally).toEqual({ connected: 1 });
  });

  test('that is revoked while it takes part is told so; when it comes again it is cut off, and says what that can mean', async () => {
    const connected = receive();
    await guarded.enrol('A');
    const first = guarded.takePart('A').catch((error: unknown) => error);
    while (!connected.includes('A')) await soon();
    await revokeSite(guarded.serverFolder, { site: 'A' });
    expect(await first).toMatchObject({ code: 'refused-by-peer', message: expect.stringContaining('revoked: site A') });
    const again = await guarded.takePart('A', impatient).catch((error: unknown) => error);
    expect(again).toMatchObject({
      code: 'timeout',
      message: expect.stringMatching(
        /no connection to the server within 2 s: .*does not take this site’s key: .*revoked/,
      ),
      cause: { code: 'cut-off' },
    });
    expect(new Set(codes())).toEqual(new Set(['revoked']));
  });

  test('that is to join by an invite which does not serve is cut off, and nothing is kept', async () => {
    receive();
    const expired = await guarded.invite('A', 0);
    await expect(guarded.join('A', expired)).rejects.toMatchObject({
      code: 'cut-off',
      message: expect.stringMatching(
        /^cannot connect to wss:.*: the server ended .*the invite has expired or was used/,
      ),
    });
    await expect(openEnrolment(guarded.siteFolder('A'))).rejects.toThrow(/no site has joined there/);
    expect(codes()).toEqual(['token-expired']);
  });

  test('joins again with the same invite when the answer was lost', async () => {
    receive();
    const text = await guarded.invite('A');
    await guarded.join('A', text);
    // As if the site's process had died before it kept the answer.
    const place = guarded.siteFolder('A');
    await rename(join(place, 'site.key'), join(place, 'site.key.next'));
    await rm(join(place, 'site.json'));
    await guarded.join('A', text);
    expect(codes()).toEqual([]);
  });

  test('withdraws once more when it did not hear the answer', async () => {
    receive();
    await guarded.enrol('A');
    const { publicKey } = await (await guarded.keysOf('A')).open();
    const { study } = planned.plan;
    expect(guarded.registry.withdraw(study, 'A', toHex(publicKey), Date.now())).toBe('enrolled');
    await withdrawFromStudy(guarded.siteFolder('A'), study, { signal: ending.signal });
    expect(codes()).toEqual([]);
  });

  test.each([
    ['none', 'no-certificate', () => ({})],
    ['one of its own', 'unknown-certificate', ownCertificate],
  ])('finds out somebody in between who opens TLS and shows the server %s', async (_, code, shown) => {
    receive();
    await guarded.enrol('A');
    const between = await TlsRelay.open(guarded.url, shown());
    await expect(guarded.takePart('A', { ...impatient, url: between.url })).rejects.toMatchObject({
      cause: { code: 'cut-off', message: expect.stringContaining('somebody in between opens TLS') },
    });
    // Nobody asked the site for its certificate, or it was shown to somebody who cannot use it.
    expect(new Set(codes())).toEqual(new Set([code]));
    await between.close();
  });
});
