// Peers that do not belong: each is refused, told no more than it may know, and recorded by name; the study beside it ends with the bits
// that it has without them.

import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { toHex } from '../../src/base/index.ts';
import { enrol, hello, type Message, planHash, ServerProof, type Signer, SiteProof } from '../../src/protocol/index.ts';
import { openKeyFile } from '../../src/store/node/index.ts';
import { enterStudy, inviteSite, joinStudy, openEnrolment, readInvite, revokeSite } from '../../src/study/index.ts';
import { connectWebSocket, listenWebSocket, makeCertificate } from '../../src/transport/node/index.ts';
import { planStudy } from '../harness/study.ts';
import { Guarded } from './guarded.ts';
import { frameOf } from './mutations.ts';
import { answerTo, type Opened, openedTo, provedTo } from './opened.ts';
import { fastClock, type Outcome, takePart } from './party.ts';
import { received } from './pretender.ts';
import { TlsRelay } from './tls-relay.ts';

const planned = planStudy({ counts: [30, 20, 10] });
const hash = planHash(planned.plan);
const resultOf = ({ parameters, figures }: Outcome) => ({ parameters, figures });
const notAdmitted = { kind: 'refuse', text: expect.stringMatching(/^not-admitted: /), scalars: [0] };

let undisturbed: Outcome;
let guarded: Guarded;
beforeAll(async () => {
  const quiet = await Guarded.open(planned);
  const server = quiet.serve();
  for (const site of planned.plan.sites) await quiet.enrol(site);
  await Promise.all(planned.plan.sites.map((site) => quiet.takePart(site)));
  undisturbed = await server;
  await quiet.close();
});
beforeEach(async () => {
  guarded = await Guarded.open(planned);
});
afterEach(() => guarded.close());

/** Runs the study while `attack` does its worst; A has joined and takes part from the start, B and C when it is over. What was refused, in order. */
async function runBeside(attack: () => Promise<void>): Promise<string[]> {
  let joined: () => void = () => undefined;
  const hasJoined = new Promise<void>((resolve) => (joined = resolve));
  const server = guarded.serve({}, joined);
  for (const site of planned.plan.sites) await guarded.enrol(site);
  const first = guarded.takePart('A');
  await hasJoined;
  const attacked = await Promise.allSettled([attack()]);
  const others = await Promise.all(['B', 'C'].map((site) => guarded.takePart(site)));
  const outcome = await server;
  expect(attacked).toEqual([{ status: 'fulfilled', value: undefined }]);
  expect(resultOf(outcome)).toEqual(resultOf(undisturbed));
  for (const { tally } of [await first, ...others]) expect(tally).toEqual({ connected: 1 });
  return guarded.refusals.map(({ code }) => code);
}

const open = (): Promise<Opened> => openedTo(guarded.url);
const proved = (opened: Opened, signer: Signer, says: Message, token = ''): Promise<Message> =>
  provedTo(guarded, opened, signer, says, token);

/** Says hello with a key, on a connection of its own, and gives the answer. */
async function helloWith(signer: Signer, site: string, plan = hash): Promise<Message | undefined> {
  const opened = await open();
  return answerTo(opened, await proved(opened, signer, hello(site, plan, 0, 'peer')));
}

const freshKey = (): Promise<Signer> => openKeyFile(join(guarded.folder, 'fresh.key'));
const keyOf = async (site: string): Promise<Signer> => (await guarded.keysOf(site)).open();

describe('at the server, a peer', () => {
  test('without a key is refused', async () => {
    const refused = await runBeside(async () => {
      expect(await answerTo(await open(), hello('B', hash, 0, 'peer'))).toMatchObject(notAdmitted);
    });
    expect(refused).toEqual(['no-proof']);
  });

  test('with a key that is not the site’s is refused, and does not hear whether there is such a site', async () => {
    const refused = await runBeside(async () => {
      const told = [await helloWith(await freshKey(), 'B'), await helloWith(await freshKey(), 'nobody')];
      for (const answer of told) expect(answer).toMatchObject(notAdmitted);
      expect(told[0]!.text).toBe(told[1]!.text);
    });
    expect(refused).toEqual(['wrong-key', 'wrong-key']);
    expect(guarded.refusals[0]!.reason).toContain('no site "B" with this key');
  });

  test('by another site’s name is refused, whether that site is connected or not', async () => {
    const refused = await runBeside(async () => {
      for (const name of ['C', 'A']) expect(await helloWith(await keyOf('B'), name)).toMatchObject(notAdmitted);
    });
    expect(refused).toEqual(['wrong-key', 'wrong-key']);
  });

  test('with a key that was revoked is refused, and is one again by another invite', async () => {
    const refused = await runBeside(async () => {
      const key = await keyOf('B');
      expect(await revokeSite(guarded.serverFolder, { site: 'B' })).toBe(true);
      expect(await helloWith(key, 'B')).toMatchObject({
        text: expect.stringMatching(/^revoked: site B/),
        scalars: [0],
      });
      await guarded.enrol('B');
    });
    expect(refused).toEqual(['revoked']);
  });

  test('that says again what a site said on another connection is refused', async () => {
    const refused = await runBeside(async () => {
      const first = await open();
      const said = await proved(first, await keyOf('B'), hello('B', hash, 0, 'peer'));
      expect(await answerTo(first, said)).toMatchObject({ kind: 'welcome' });
      expect(await answerTo(await open(), said)).toMatchObject(notAdmitted);
    });
    expect(refused).toEqual(['bad-proof']);
  });

  test('that passes on what a careless site has signed for a connection to somebody else is refused', async () => {
    const refused = await runBeside(async () => {
      const [toServer, toSite] = [await open(), await open()];
      const careless = { ...(await guarded.keysOf('B')).cryptography, verify: () => true };
      const { identity } = await guarded.keysOf('B');
      const end = { signer: await keyOf('B'), cryptography: careless, binding: toSite.connection.binding! };
      const said = new SiteProof(end, identity, toServer.challenge).sign(hello('B', hash, 0, 'peer'));
      expect(await answerTo(toServer, said)).toMatchObject(notAdmitted);
      await toSite.connection.close();
    });
    expect(refused.sort()).toEqual(['bad-proof', 'closed']);
  });

  test('that changes a letter of what a site signed is refused', async () => {
    const refused = await runBeside(async () => {
      for (const change of [{ site: 'C' }, { plan: `${hash.slice(0, -1)}${hash.endsWith('0') ? '1' : '0'}` }]) {
        const opened = await open();
        const said = await proved(opened, await keyOf('B'), hello('B', hash, 0, 'peer'));
        expect(await answerTo(opened, { ...said, ...change })).toMatchObject(notAdmitted);
      }
    });
    expect(refused).toEqual(['bad-proof', 'bad-proof']);
  });

  test('with a token that has expired, was used, or is of nobody is refused', async () => {
    const refused = await runBeside(async () => {
      const expired = await guarded.invite('B', 0);
      await expect(guarded.join('B', expired, 'late')).rejects.toThrow(/refused: token-expired/);
      const used = await guarded.invite('B');
      await guarded.join('B', used);
      await expect(guarded.join('B', used, 'thief')).rejects.toThrow(/refused: token-spent/);
      const opened = await open();
      const guessed = await proved(opened, await freshKey(), enrol('B', planned.plan.study), '5a'.repeat(32));
      expect(await answerTo(opened, guessed)).toMatchObject(notAdmitted);
      await expect(openEnrolment(guarded.siteFolder('thief'))).rejects.toThrow(/no site has joined there/);
    });
    expect(refused).toEqual(['token-expired', 'token-spent', 'unknown-token']);
  });

  test('that brings a site’s token for another site’s name is refused, and the token still serves', async () => {
    const refused = await runBeside(async () => {
      const text = await guarded.invite('B');
      const token = toHex(readInvite(text).token);
      const opened = await open();
      const said = await proved(opened, await freshKey(), enrol('C', planned.plan.study), token);
      expect(await answerTo(opened, said)).toMatchObject(notAdmitted);
      await guarded.join('B', text);
    });
    expect(refused).toEqual(['unknown-token']);
  });

  test('of another study of the same server, or with another plan, is refused', async () => {
    const refused = await runBeside(async () => {
      const other = { ...planned.plan, study: 'other' };
      enterStudy(guarded.registry, other, { address: guarded.url });
      const { text } = await inviteSite(guarded.serverFolder, { site: 'B', study: 'other', validMs: 60_000 });
      await expect(guarded.join('B', text, 'foreign')).rejects.toThrow(/refused: not-admitted/);
      expect(await helloWith(await keyOf('B'), 'B', planHash(other))).toMatchObject({
        text: expect.stringMatching(/^plan-mismatch: /),
        scalars: [0],
      });
    });
    expect(refused).toEqual(['unknown-token', 'plan-mismatch']);
  });

  test('that speaks an older TLS, or none, is refused', async () => {
    const refused = await runBeside(async () => {
      const port = Number(new URL(guarded.url).port);
      const older = await new Promise<Error>((resolve) =>
        connectTls({ port, host: '127.0.0.1', maxVersion: 'TLSv1.2', rejectUnauthorized: false }).on('error', resolve),
      );
      expect(older.message).toMatch(/protocol version/);
      await expect(connectWebSocket(guarded.url.replace('wss:', 'ws:'))).rejects.toThrow(/cannot connect/);
    });
    expect(refused).toEqual(['no-tls', 'no-tls']);
    expect(guarded.refusals[0]!.reason).toMatch(/unsupported protocol/);
  });
});

test('an address that fails again and again is heard no more, and who is in stays in', async () => {
  await guarded.close();
  guarded = await Guarded.open(planned, { attempts: { most: 5, withinMs: 3000 } });
  const refused = await runBeside(async () => {
    for (let times = 0; times < 5; times++)
      expect(await answerTo(await open(), hello('B', hash, 0, 'peer'))).toMatchObject(notAdmitted);
    const closed = { code: 'connect-failed' };
    for (let times = 0; times < 20; times++) await expect(connectWebSocket(guarded.url)).rejects.toMatchObject(closed);
    // After a while it is heard again: B and C are from the same address.
    while (
      await connectWebSocket(guarded.url).then(
        (connection) => connection.close().then(() => false),
        () => true,
      )
    );
  });
  expect(refused).toEqual([...new Array<string>(5).fill('no-proof'), 'too-many', 'closed']);
});

describe('a site', () => {
  const impatient = { clock: fastClock(20), timeoutMs: 2_000 };

  test('finds somebody who passes its bytes on to the server, who hears of it, and says nothing to him', async () => {
    const refused = await runBeside(async () => {
      const between = await TlsRelay.open(guarded.url);
      await expect(guarded.takePart('B', { url: between.url })).rejects.toMatchObject({
        code: 'wrong-identity',
        message: expect.stringContaining('somebody is between this site and the server'),
      });
      const invite = readInvite(await guarded.invite('B'));
      const relayed = { ...invite, address: new URL(between.url).host };
      const { signal } = new AbortController();
      await expect(joinStudy(guarded.siteFolder('B'), relayed, { signal })).rejects.toMatchObject({
        code: 'wrong-identity',
      });
      await between.close();
    });
    expect(refused[0]).toBe('refused');
    expect(guarded.refusals[0]!.reason).toMatch(/the peer closes: wrong-identity/);
  });

  test('refuses a server with another identity, and one that shows the right one’s challenge again', async () => {
    await runBeside(async () => {
      const { connection: toServer, challenge } = await open();
      await toServer.close();
      const place = await mkdtemp(join(tmpdir(), 'septum-false-'));
      const identity = await openKeyFile(join(place, 'identity.key'));
      const listener = await listenWebSocket({ tls: makeCertificate(identity.privateKey, Date.now(), 3_600_000) });
      const heard: (Message | undefined)[] = [];
      const { cryptography } = await guarded.keysOf('A');
      const answering = (async () => {
        for (const kind of ['own', 'again']) {
          const connection = (await listener.accept())!;
          const { binding } = connection;
          const own = new ServerProof({ signer: identity, cryptography, binding: binding! }).challenge;
          await connection.send([frameOf(kind === 'own' ? own : challenge)]);
          heard.push(await received(connection));
          await connection.close();
        }
      })();
      for (const why of [/another identity key/, /has not signed this connection/])
        await expect(guarded.takePart('B', { url: listener.address })).rejects.toThrow(why);
      await answering;
      for (const message of heard)
        expect(message).toMatchObject({ kind: 'refuse', text: expect.stringMatching(/^wrong-identity: /) });
      await listener.close();
      await rm(place, { recursive: true });
    });
  });

  test('whose key is replaced while it takes part goes on with its new one, and the old one serves nobody', async () => {
    const server = guarded.serve();
    for (const site of planned.plan.sites) await guarded.enrol(site);
    const old = await keyOf('A');
    const first = guarded.takePart('A');
    // B and C have not come: A waits in the study, connected.
    await guarded.enrol('A');
    while (!guarded.refusals.some(({ code }) => code === 'key-replaced'))
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await helloWith(old, 'A')).toMatchObject({ text: expect.stringMatching(/^key-replaced: /), scalars: [1] });
    const others = await Promise.all(['B', 'C'].map((site) => guarded.takePart(site)));
    expect(resultOf(await server)).toEqual(resultOf(undisturbed));
    expect((await first).tally).toMatchObject({ connected: 2 });
    for (const { tally } of others) expect(tally).toEqual({ connected: 1 });
  });

  test('that is revoked while it takes part loses its connection at once, and the study ends with its name', async () => {
    const server = guarded.serve(impatient).catch((error: unknown) => error);
    for (const site of planned.plan.sites) await guarded.enrol(site);
    let connected: () => void = () => undefined;
    const isConnected = new Promise<void>((resolve) => (connected = resolve));
    const keys = await guarded.keysOf('A');
    const connect = (signal: AbortSignal) => connectWebSocket(guarded.url, { signal });
    const site = takePart(planned, 0, connect, { keys }, ({ kind }) => {
      if (kind === 'connected') connected();
    }).catch((error: unknown) => error);
    await isConnected;
    await revokeSite(guarded.serverFolder, { site: 'A' });
    expect(await site).toMatchObject({
      code: 'refused-by-peer',
      message: 'the server refused: revoked: site A was revoked',
    });
    expect(guarded.refusals).toEqual([{ code: 'revoked', reason: 'site A was revoked' }]);
    const others = ['B', 'C'].map((name) => guarded.takePart(name).catch((error: unknown) => error));
    expect(await server).toMatchObject({ message: expect.stringMatching(/^site A is lost: .*site A was revoked/) });
    for (const error of await Promise.all(others)) expect(error).toMatchObject({ code: 'refused-by-peer' });
  });

  test('goes on under another certificate, when it connects again after the server’s was renewed', async () => {
    const renewing = await Guarded.open(planned, { renewMs: 50 });
    const server = renewing.serve();
    for (const site of planned.plan.sites) await renewing.enrol(site);
    const seen = new Set<string>();
    for (let times = 0; times < 3; times++) {
      const connection = await connectWebSocket(renewing.url);
      seen.add(toHex(connection.binding!.subarray(32)));
      await connection.close();
      await new Promise((resolve) => setTimeout(resolve, 120));
    }
    expect(seen.size).toBe(3);
    await Promise.all(planned.plan.sites.map((site) => renewing.takePart(site)));
    expect(resultOf(await server)).toEqual(resultOf(undisturbed));
    await renewing.close();
  });
});

test('an invite whose answer was lost serves again from the same folder', async () => {
  const ending = new AbortController();
  const server = guarded.serve({ signal: ending.signal }).catch(() => undefined);
  await guarded.enrol('A');
  const text = await guarded.invite('B');
  const { token, study } = readInvite(text);
  const opened = await open();
  await mkdir(guarded.siteFolder('B'));
  const made = await openKeyFile(join(guarded.siteFolder('B'), 'site.key.next'));
  expect(await answerTo(opened, await proved(opened, made, enrol('B', study), toHex(token)))).toMatchObject({
    kind: 'enrolled',
  });
  // The site process died before it kept anything.
  await guarded.join('B', text);
  expect((await keyOf('B')).publicKey).toEqual(made.publicKey);
  expect(await helloWith(made, 'B')).toMatchObject({ kind: 'welcome' });
  ending.abort(new Error('enough'));
  await server;
});
