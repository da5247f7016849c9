import { describe, expect, it } from 'vitest';
import { Addresses, networkOf, type TurnedAway } from './addresses.ts';

const limits = { connectionsPerAddressMax: 3, attemptsPerAddressMax: 5, attemptsPerAddressPerSecond: 2 };

function addresses() {
  const told: TurnedAway[] = [];
  const clock = { nowMs: 0 };
  return { told, clock, all: new Addresses(limits, (event) => told.push(event), () => clock.nowMs) }; // prettier-ignore
}

describe('the connections of an address', () => {
  it('are so many at once; another address has its own', () => {
    const { all, told } = addresses();
    const visits = [1, 2, 3].map(() => all.enter('10.0.0.1')!);
    expect(all.enter('10.0.0.1')).toBeUndefined();
    expect(all.enter('10.0.0.2')).toBeDefined();
    visits[0]!.leave();
    visits[0]!.leave();
    expect(all.enter('10.0.0.1')).toBeDefined();
    expect(all.enter('10.0.0.1')).toBeUndefined();
    expect(told).toEqual([{ address: '10.0.0.1', reason: '3 connections are open already', times: 1 }]);
  });

  it('cost an attempt each, which comes back with time, up to as many as there were', () => {
    const { all, clock, told } = addresses();
    const knock = () => {
      const visit = all.enter('10.0.0.1');
      visit?.leave();
      return visit !== undefined;
    };
    expect(Array.from({ length: 7 }, knock)).toEqual([true, true, true, true, true, false, false]);
    clock.nowMs = 1000;
    expect([knock(), knock(), knock()]).toEqual([true, true, false]);
    clock.nowMs = 1_000_000;
    expect(Array.from({ length: 7 }, knock)).toEqual([true, true, true, true, true, false, false]);
    // Told at once, and then no more than every ten seconds, with the number since.
    expect(told.map(({ times }) => times)).toEqual([1, 3]);
    expect(told[0]!.reason).toMatch(/attempts/);
  });

  it('cost nothing once their peer is known', () => {
    const { all } = addresses();
    for (let times = 0; times < 50; times++) {
      const visit = all.enter('10.0.0.1')!;
      visit.known();
      visit.known();
      visit.leave();
    }
    expect(Array.from({ length: 3 }, () => all.enter('10.0.0.1')).every(Boolean)).toBe(true);
  });

  it('are forgotten for addresses beyond ten thousand, those that are open never', () => {
    const { all } = addresses();
    const stays = all.enter('10.0.0.1')!;
    for (let host = 0; host < 30_000; host++) all.enter(`172.16.${host >> 8}.${host & 255}`)!.leave();
    expect(all.count).toBe(10_000);
    all.enter('10.0.0.1');
    all.enter('10.0.0.1');
    expect(all.enter('10.0.0.1')).toBeUndefined();
    stays.leave();
    expect(all.enter('10.0.0.1')).toBeDefined();
  });
});

it.each([
  ['192.168.1.7', '192.168.1.7'],
  ['::ffff:192.168.1.7', '192.168.1.7'],
  ['::1', '0:0:0:0::/64'],
  ['2001:db8:0:42:1:2:3:4', '2001:db8:0:42::/64'],
  ['2001:0DB8::42:9', '2001:db8:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
])('%s counts as %s', (address, network) => {
  expect(networkOf(address)).toBe(network);
});
