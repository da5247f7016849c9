import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../base/index.ts';
import { fingerprint, type Invite, looksLikeInvite, readInvite, writeInvite } from './invite.ts';

const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 });
const word = fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' });
const invites: fc.Arbitrary<Invite> = fc.record({
  address: fc.constantFrom('study.example.org:443', '10.0.0.1:7700', '[fe80::1]:65535'),
  identity: bytes,
  study: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/),
  site: word,
  token: bytes,
});
const invite: Invite = {
  address: 'study.example.org:443',
  identity: new Uint8Array(32).fill(1),
  study: 'lipids',
  site: 'north',
  token: new Uint8Array(32).fill(2),
};

describe('an invite', () => {
  test('is read as it was written, however it was broken over lines', () => {
    fc.assert(
      fc.property(invites, fc.nat(200), (original, at) => {
        const text = writeInvite(original);
        expect(readInvite(`  ${text.slice(0, at)}\r\n ${text.slice(at)}\n`)).toEqual(original);
        expect(looksLikeInvite(text)).toBe(true);
      }),
    );
  });

  test('with any one character changed, missing or added is refused, without its words', () => {
    const text = writeInvite(invite);
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.constantFrom('A', 'b', '_', '7', ''), fc.boolean(), (at, other, add) => {
        const changed = text.slice(0, at) + other + text.slice(add ? at : at + 1);
        fc.pre(changed !== text);
        // The last character has bits that mean nothing.
        fc.pre(at < text.length - 1 || other === '');
        const error = caught(changed);
        expect(error).toBeInstanceOf(ConfigError);
        expect((error as Error).message).not.toContain(text.slice(30, 50));
      }),
    );
  });

  test.each([
    ['', /no invite/],
    ['hello', /no invite/],
    ['septum2-AAAA', /an invite of version 2: this Septum reads version 1/],
    ['septum1-', /not whole/],
    ['septum1-AAAAAAAAAAAAAAAA', /not whole/],
    [`septum1-${'A'.repeat(5000)}`, /no invite/],
  ])('%j is refused', (text, why) => {
    expect(() => readInvite(text)).toThrow(why);
  });

  test.each([
    ['an address with a path', { address: 'example.org:443/x' }],
    ['an address without a port', { address: 'example.org' }],
    ['no study', { study: '' }],
    ['a study that is a way to another folder', { study: '../north' }],
    ['a short token', { token: new Uint8Array(31) }],
    ['a long identity', { identity: new Uint8Array(33) }],
  ])('with %s is refused although its checksum is right', (_, wrong) => {
    expect(() => readInvite(writeInvite({ ...invite, ...wrong }))).toThrow(/does not hold what an invite holds/);
  });
});

test('a fingerprint is short enough to be read aloud', () => {
  expect(fingerprint(invite.identity)).toMatch(/^([0-9a-f]{4} ){7}[0-9a-f]{4}$/);
  expect(fingerprint(invite.identity)).not.toBe(fingerprint(invite.token));
});

function caught(text: string): unknown {
  try {
    return readInvite(text);
  } catch (error) {
    return error;
  }
}
