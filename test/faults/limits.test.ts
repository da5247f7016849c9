// What floods, dribbles and bombs cost a server: connections of their own, and bounded memory. The server is a process of its own, so that
// what it holds can be measured; a study goes on beside each attack and ends with the bits that it has without.

import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hello, planHash } from '../../src/protocol/index.ts';
import { planStudy, type TestStudy } from '../harness/study.ts';
import type { ServerSetup } from './host.ts';
import { bundleHost, Host } from './hosts.ts';
import { frameOf } from './mutations.ts';
import type { Outcome } from './party.ts';
import { frameStart, RawPeer, wholeFrame } from './raw-peer.ts';

const study: TestStudy = { counts: [30, 20, 10], training: { epochs: 3 } };
const peers = 150;
/** What one connection may cost the server beyond what it costs anyway, and all of an attack's together. */
const bytesOfOne = 1 << 20;
const growthBytesMax = peers * bytesOfOne;
/** Time passes so many times as fast at the server: a hello is due within 10 s. */
const quick: ServerSetup = { speed: 10, listen: { handshakeTimeoutMs: 600, closeTimeoutMs: 500 } };
const usual: ServerSetup = { speed: 1, listen: { closeTimeoutMs: 500 } };

let folder: string;
let servers: Host;
let sites: Host;
let undisturbed: string;

beforeAll(async () => {
  folder = await bundleHost();
  servers = new Host(`${folder}/host.mjs`);
  sites = new Host(`${folder}/host.mjs`);
  undisturbed = await runBeside(async () => undefined).then(({ bits }) => bits);
  // Once more, so that what the process holds anyway is there.
  await runBeside((url) => attack(url, (peer) => peer.dribble('GET', 50)), quick);
});

afterAll(async () => {
  await Promise.all([servers?.close(), sites?.close()]);
  await rm(folder, { recursive: true, force: true });
});

interface Beside {
  readonly bits: string;
  readonly server: Outcome;
  readonly growthBytes: number;
}

/** Lets the attack do its worst to a server that waits for its sites, then runs the study while what is left of it goes on. */
async function runBeside(worst: (url: string) => Promise<void>, setup: ServerSetup = {}): Promise<Beside> {
  const before = (await servers.memory()).residentBytes;
  const { url, ended } = await servers.server(study, setup);
  await worst(url);
  const growthBytes = (await servers.memory()).peakBytes - before;
  const own = await Promise.all(study.counts!.map((_, index) => sites.site(study, index, url)));
  for (const { tally } of own) expect(tally).toEqual({ connected: 1 });
  const server = await ended;
  const bits = JSON.stringify([server, ...own].map(({ parameters, figures }) => ({ parameters, figures })));
  return { bits, server, growthBytes };
}

/** All peers at once, each to its end. */
async function attack(
  url: string,
  how: (peer: RawPeer) => Promise<void>,
  open = (address: string) => RawPeer.open(address),
): Promise<void> {
  const all = await Promise.all(Array.from({ length: peers }, () => open(url)));
  await Promise.all(all.map(how));
  expect(all.every((peer) => peer.isClosed)).toBe(true);
}

function expectUnhurt({ bits, growthBytes }: Beside, what: string): void {
  console.info(`${what}: the server grew by ${(growthBytes / 1e6).toFixed(1)} MB`);
  expect(bits).toBe(undisturbed);
  expect(growthBytes).toBeLessThan(growthBytesMax);
}

describe(`${peers} peers, and the server’s memory and study`, () => {
  const someHeaders = 'GET / HTTP/1.1\r\nHost: x\r\n';

  test('bytes that dribble in the HTTP handshake: cut off when its time is over', async () => {
    const run = await runBeside(
      (url) =>
        attack(url, async (peer) => {
          peer.write(someHeaders);
          await peer.dribble('x', 20);
        }),
      quick,
    );
    expectUnhurt(run, 'dribbled handshakes');
  });

  test('bytes that dribble in the WebSocket handshake’s last line: cut off when its time is over', async () => {
    const run = await runBeside(
      (url) =>
        attack(url, async (peer) => {
          peer.write(`${someHeaders}Upgrade: websocket\r\nConnection: Upgrade\r\nX: `);
          await peer.dribble('x', 20);
        }),
      quick,
    );
    expectUnhurt(run, 'dribbled upgrades');
  });

  test('bytes that dribble before the hello: told, and cut off', async () => {
    const run = await runBeside(
      (url) =>
        attack(
          url,
          async (peer) => {
            peer.write(frameStart(300));
            await peer.dribble(new Uint8Array(1), 50);
            expect(peer.received.toString('latin1')).toContain('timeout: ');
          },
          (address) => RawPeer.upgraded(address),
        ),
      quick,
    );
    expectUnhurt(run, 'dribbled hellos');
    expect(run.server.tally['refused timeout']).toBe(peers);
  });

  /** Continuations of nothing, and not the last. */
  const empty = Buffer.concat(Array.from({ length: 500 }, () => frameStart(0, 0x00)));

  test('fragments without end before the hello: cut off after 4096 bytes', async () => {
    const run = await runBeside(
      (url) =>
        attack(
          url,
          async (peer) => {
            peer.write(frameStart(0, 0x02));
            await peer.pour(empty, 50e6);
            expect(peer.bytesSent).toBeLessThan(50e6);
          },
          (address) => RawPeer.upgraded(address),
        ),
      usual,
    );
    expectUnhurt(run, 'fragments without end');
    expect(run.server.tally['refused too-large']).toBe(peers);
  });

  test('frames of 60 MB as a first word: cut off after 4096 bytes', async () => {
    const run = await runBeside(
      (url) =>
        attack(
          url,
          async (peer) => {
            peer.write(frameStart(60_000_000));
            await peer.pour(new Uint8Array(65_536), 60_000_000);
            await peer.closed();
          },
          (address) => RawPeer.upgraded(address),
        ),
      usual,
    );
    expectUnhurt(run, 'large first frames');
    expect(run.server.tally['refused too-large']).toBe(peers);
  });

  test.each([
    ['headers without end', `X-A: ${'x'.repeat(1000)}\r\n`],
    ['thousands of small headers', 'a:\r\n'.repeat(200)],
    ['one header without end', 'x'.repeat(1000)],
  ])('%s: cut off after 16 KiB of them', async (what, piece) => {
    const run = await runBeside(
      (url) =>
        attack(url, async (peer) => {
          peer.write(someHeaders);
          await peer.pour(piece, 50e6);
          expect(peer.bytesSent).toBeLessThan(50e6);
        }),
      quick,
    );
    expectUnhurt(run, what);
  });

  test.each([
    ['a body without end', `POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`, '400\r\n' + 'x'.repeat(1024) + '\r\n'], // prettier-ignore
    ['requests without end', someHeaders + '\r\n', someHeaders + '\r\n'],
  ])('%s: answered once and cut off', async (what, first, piece) => {
    const run = await runBeside(
      (url) =>
        attack(url, async (peer) => {
          peer.write(first);
          await peer.pour(piece, 50e6);
          expect(peer.bytesSent).toBeLessThan(50e6);
        }),
      quick,
    );
    expectUnhurt(run, what);
  });
});

test('one that asks for compression does not get it, and a compressed frame ends its connection', async () => {
  const run = await runBeside(async (url) => {
    const peer = await RawPeer.upgraded(
      url,
      'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n',
    );
    const answer = peer.received.toString('latin1');
    expect(answer).toMatch(/^HTTP\/1\.1 101/);
    expect(answer).not.toMatch(/sec-websocket-extensions/i);
    // The reserved bit that says "compressed", on what would inflate to 4 GiB as well as on anything else.
    peer.write(wholeFrame(Uint8Array.of(0x4b, 0x04, 0x00), 0xc2));
    await peer.closed();
    expect([...peer.received.subarray(-4, -2)]).not.toEqual([]);
  });
  expect(run.bits).toBe(undisturbed);
  expect(run.server.tally['refused closed']).toBe(1);
});

test('bytes that dribble in a frame of a known site cost its connection in time, and the site may come back', async () => {
  const planned = planStudy(study);
  const run = await runBeside(
    async (url) => {
      const peer = await RawPeer.upgraded(url);
      peer.write(wholeFrame(frameOf(hello('A', planHash(planned.plan), 0, 'peer'))));
      await peer.answer('SPTM');
      // A census that is never whole: 40 MB at a few bytes a second, while the server waits for it.
      peer.write(frameStart(40_000_000));
      await peer.dribble(new Uint8Array(8), 20);
      expect(peer.received.toString('latin1')).toContain('timeout: the site is connected, but silent');
    },
    { ...quick, silenceTimeoutMs: 15_000 },
  );
  expect(run.bits).toBe(undisturbed);
  expect(run.growthBytes).toBeLessThan(growthBytesMax);
  expect(run.server.tally['lost timeout'] ?? run.server.tally['lost closed']).toBe(1);
});

test('a flood of connections from one address is cut off beyond what an address may have, and told', async () => {
  const run = await runBeside(
    async (url) => {
      const all = await Promise.all(Array.from({ length: 400 }, () => RawPeer.open(url)));
      const open = () => all.filter((peer) => !peer.isClosed).length;
      while (open() > 20) await new Promise((resolve) => setTimeout(resolve, 10));
      expect(open()).toBe(20);
      for (const peer of all) peer.destroy();
    },
    { listen: { connectionsPerAddressMax: 20 } },
  );
  expect(run.bits).toBe(undisturbed);
  expect(run.server.tally['turned away']).toBeGreaterThanOrEqual(1);
});

test('attempts without end of one address are cut off before they are read, and sites that are known are not hurt', async () => {
  const { plan } = planStudy(study);
  const run = await runBeside(
    async (url) => {
      let answered = 0;
      for (let times = 0; times < 100; times++) {
        const peer = await RawPeer.upgraded(url);
        peer.write(wholeFrame(frameOf(hello('Z', planHash(plan), 0, 'peer'))));
        await peer.answer('unknown-site');
        if (peer.received.includes('unknown-site')) answered += 1;
        peer.destroy();
      }
      expect(answered).toBeGreaterThanOrEqual(30);
      expect(answered).toBeLessThan(50);
      // A few come back each second: enough for the sites, which are known and give theirs back.
      await new Promise((resolve) => setTimeout(resolve, 500));
    },
    { listen: { attemptsPerAddressMax: 30, attemptsPerAddressPerSecond: 10 } },
  );
  expect(run.bits).toBe(undisturbed);
  expect(run.server.tally['turned away']).toBeGreaterThanOrEqual(1);
});
