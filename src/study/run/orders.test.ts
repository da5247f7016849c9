// Orders that another process writes into a registry, and how a study hears of them.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FakeClock } from '../../base/index.ts';
import type { Registry } from '../../store/index.ts';
import { openRegistry } from '../enrolment/index.ts';
import { followOrders, type StudyOrders } from './orders.ts';

const plan = { study: 'lipids', sites: ['south', 'north'] };
let folder: string;
/** The server's, and a command's. */
let registry: Registry;
let other: Registry;
let heard: string[];
let following: Promise<void>;
const ending = new AbortController();
const clock = new FakeClock();
const orders: StudyOrders = {
  pause: () => void heard.push('pause'),
  resume: () => void heard.push('resume'),
  stopEarly: () => void heard.push('stop'),
  withdraw: (site) => void heard.push(`withdraw ${site}`),
};

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'septum-orders-'));
  [registry, other] = [await openRegistry(folder), await openRegistry(folder)];
  registry.putStudy({ name: 'lipids', plan: 'aa', sites: plan.sites, address: '', folder: '', epochs: 3 }, 0);
  registry.putStudy(
    { name: 'bones', plan: 'bb', sites: ['north'], address: '', folder: 'studies/bones', epochs: 3 },
    0,
  );
  heard = [];
});
afterEach(async () => {
  ending.abort();
  await following;
  await registry[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

/** What the study has heard by its next look. */
async function hears(...expected: readonly string[]): Promise<void> {
  await clock.advance(1000);
  await new Promise((done) => setImmediate(done));
  expect(heard).toEqual(expected);
}

test('a study hears at once what stands there, and then what changes of it, once each', async () => {
  other.invite('lipids', 'north', { hash: 't1', expiresMs: 1000 }, 0);
  other.enrol('lipids', 'north', 't1', 'k1', 1);
  other.invite('lipids', 'south', { hash: 't2', expiresMs: 1000 }, 0);
  other.enrol('lipids', 'south', 't2', 'k2', 1);
  other.withdraw('lipids', 'north', 'k1', 2);
  other.book.want('lipids', 'pause');
  following = followOrders(registry, plan, orders, clock, ending.signal);
  expect(heard).toEqual(['withdraw 1', 'pause']);
  // Another study's orders, and a wish that was taken back at once, are none.
  other.book.want('bones', 'stop');
  other.book.want('lipids', 'run');
  other.book.want('lipids', 'pause');
  other.withdraw('lipids', 'south', 'k2', 3);
  await hears('withdraw 1', 'pause', 'withdraw 0');
  other.book.want('lipids', 'run');
  await hears('withdraw 1', 'pause', 'withdraw 0', 'resume');
  other.book.want('lipids', 'stop');
  await hears('withdraw 1', 'pause', 'withdraw 0', 'resume', 'stop');
});
