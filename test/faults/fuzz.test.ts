// Bad frames in great number, through decoder, handshake, sessions and inspections of both sides (fuzz.ts). `SEPTUM_FUZZ_FRAMES` sets how
// many (a million is `npm run fuzz`), `SEPTUM_SEED` where they begin.

import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type MessageKind, messageKinds } from '../../src/protocol/index.ts';
import { bundleHost, Host } from './hosts.ts';
import { refusalCodes } from './mutations.ts';
import type { Tally } from './party.ts';

const frames = Number(process.env['SEPTUM_FUZZ_FRAMES'] ?? 50_000);
const seed = Number(process.env['SEPTUM_SEED'] ?? 1);
const growthBytesMax = 50e6;
/** In which all of it has to be done: what a frame left behind would end the process, or let it grow. */
const heapMb = 100;

let folder: string;
let host: Host;

beforeAll(async () => {
  folder = await bundleHost();
  host = new Host(`${folder}/host.mjs`, { heapMb });
});

afterAll(async () => {
  await host?.close();
  await rm(folder, { recursive: true, force: true });
});

test(
  `${frames} fuzzed frames cost a connection each, are refused by name, and change no bit of any study (seed ${seed})`,
  async () => {
    const result = await host.fuzz({ seed, frames });
    console.info(JSON.stringify({ seed, ...result }, undefined, 1));
    expect(result.injected).toBe(frames);
    expect(result.pastDecoder).toBeGreaterThanOrEqual(frames / 2);
    // Everyone who can find a bad frame has to, in every kind of message and every mode.
    expect(Object.keys(result.byStage).toSorted()).toEqual(['decoder', 'handshake', 'inspection', 'session']);
    // Sites without keys are not challenged and do not enrol.
    const others: readonly MessageKind[] = ['refuse', 'challenge', 'enrol', 'enrolled', 'withdraw', 'withdrawn'];
    const attacked = (Object.keys(messageKinds) as MessageKind[]).filter((kind) => !others.includes(kind));
    expect(Object.keys(result.byKind).toSorted()).toEqual(attacked.toSorted());
    expect(Object.values(result.byMode).every((times) => times > 0)).toBe(true);
    // Every bad frame was answered by a refusal with one of the protocol's codes, or the transport's for a first one that is too large.
    let answered = 0;
    for (const direction of ['up', 'down'] as const) {
      expect(refusalCodes).toEqual(expect.arrayContaining(Object.keys(result.refusals[direction])));
      answered += Object.values(result.refusals[direction]).reduce((sum, times) => sum + times, 0);
    }
    expect(answered).toBe(frames);
    const told = (tally: Tally, how: string) => refusalCodes.map((code) => [code, tally[`${how}${code}`] ?? 0]);
    expect(told(result.atServer, 'refused ')).toEqual(told(result.refusals.up, ''));
    expect(told(result.atSites, 'lost ')).toEqual(told(result.refusals.down, ''));
    expect(Object.keys({ ...result.atServer, ...result.atSites }).filter((what) => what.includes('internal'))).toEqual([]); // prettier-ignore
    expect(host.alive).toBe(true);
    expect(result.residentGrowth).toBeLessThan(growthBytesMax);
  },
  2 * 3_600_000,
);
