import { describe, expect, test } from 'vitest';
import { FakeClock } from '../../base/index.ts';
import { Attempts } from './attempts.ts';

describe('an address that could not come in', () => {
  test('is heard until it has failed too often, and again after a while', async () => {
    const clock = new FakeClock();
    const attempts = new Attempts(clock, { most: 3, withinMs: 1000 });
    expect([1, 2, 3, 4].map(() => attempts.failed('10.0.0.1'))).toEqual([false, false, true, false]);
    expect([attempts.allows('10.0.0.1'), attempts.allows('10.0.0.2')]).toEqual([false, true]);
    await clock.advance(999);
    expect(attempts.allows('10.0.0.1')).toBe(false);
    await clock.advance(1);
    expect(attempts.allows('10.0.0.1')).toBe(true);
    expect(attempts.failed('10.0.0.1')).toBe(false);
  });

  test.each([
    ['::ffff:10.0.0.1', '10.0.0.1', false],
    ['2001:db8:1:2::1', '2001:db8:1:2:ffff::2', false],
    ['2001:DB8:1:2::1', '2001:0db8:1:2::', false],
    ['2001:db8:1:2::1', '2001:db8:1:3::1', true],
    ['fe80::1%eth0', 'fe80::2%eth1', false],
    ['::1', '1::', true],
  ])('%s shuts out %s: it is still heard: %s', (failed, other, heard) => {
    const attempts = new Attempts(new FakeClock(), { most: 1 });
    expect(attempts.failed(failed)).toBe(true);
    expect(attempts.allows(other)).toBe(heard);
  });

  test('is forgotten when too many others have come since', () => {
    const attempts = new Attempts(new FakeClock(), { most: 1, addressesMost: 2 });
    for (const last of [1, 2, 3]) attempts.failed(`10.0.0.${last}`);
    expect([1, 2, 3].map((last) => attempts.allows(`10.0.0.${last}`))).toEqual([true, false, false]);
  });
});
