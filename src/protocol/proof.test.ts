import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { verifySignature } from '../store/node/index.ts';
import { enrol, hello, welcome } from './handshake.ts';
import type { Message, Proof } from './message.ts';
import { type Cryptography, ServerProof, type Signer, SiteProof } from './proof.ts';

const cryptography: Cryptography = {
  verify: verifySignature,
  randomBytes: (count) => new Uint8Array(randomBytes(count)),
};
const [server, site] = [signer(), signer()];
const binding = new Uint8Array(64).fill(3);
const plan = 'ab'.repeat(32);
const says = hello('north', plan, 5, 'peer');

const serverEnd = (own = binding, key = server) => new ServerProof({ signer: key, cryptography, binding: own });
const siteEnd = (challenge: Message, own = binding) =>
  new SiteProof({ signer: site, cryptography, binding: own }, server.publicKey, challenge);
const withProof = (told: Message, changed: Partial<Proof>): Message => ({
  ...told,
  proof: { ...told.proof!, ...changed },
});

describe('two sides of a connection', () => {
  test('prove to each other who they are, and pass on what they say', () => {
    const atServer = serverEnd();
    const atSite = siteEnd(atServer.challenge);
    const { said, key, token } = atServer.take(atSite.sign(says));
    expect({ said, key, token }).toEqual({ said: says, key: Buffer.from(site.publicKey).toString('hex'), token: '' });
    expect(atSite.check(atServer.sign(welcome(plan, 4)))).toEqual(welcome(plan, 4));
  });

  test('use an invite the same way', () => {
    const atServer = serverEnd();
    const token = '7e'.repeat(32);
    expect(atServer.take(siteEnd(atServer.challenge).sign(enrol('north', 'lipids'), token)).token).toBe(token);
  });

  test('find out that they are not on one connection', () => {
    const elsewhere = binding.with(63, 4);
    expect(() => siteEnd(serverEnd(elsewhere).challenge)).toThrow(expect.objectContaining({ code: 'wrong-identity' }));
    const [one, other] = [serverEnd(), serverEnd()];
    const said = siteEnd(one.challenge).sign(says);
    expect(() => other.take(said)).toThrow(expect.objectContaining({ code: 'bad-proof' }));
    expect(() => one.take(said)).not.toThrow();
  });

  test('refuse another identity, and an answer that it has not signed', () => {
    const challenge = serverEnd(binding, signer()).challenge;
    expect(() => siteEnd(challenge)).toThrow(expect.objectContaining({ code: 'wrong-identity' }));
    const pretending = withProof(challenge, { key: Buffer.from(server.publicKey).toString('hex') });
    expect(() => siteEnd(pretending)).toThrow(expect.objectContaining({ code: 'wrong-identity' }));
    const atServer = serverEnd();
    const atSite = siteEnd(atServer.challenge);
    atServer.take(atSite.sign(says));
    const answer = atServer.sign(welcome(plan, 4));
    for (const signature of ['00'.repeat(64), atServer.challenge.proof!.signature])
      expect(() => atSite.check(withProof(answer, { signature }))).toThrow(/not signed for this connection/);
    expect(() => atSite.check({ ...answer, kind: 'enrolled' })).toThrow(/not signed for this connection/);
  });

  test.each([
    ['site', { site: 'south' }],
    ['plan', { plan: 'ac'.repeat(32) }],
    ['text', { text: 'x' }],
    ['kind', { kind: 'enrol' as const }],
  ])('sign the %s', (_, change) => {
    const atServer = serverEnd();
    const said = siteEnd(atServer.challenge).sign(says, 'kind' in change ? '7e'.repeat(32) : '');
    expect(() => atServer.take({ ...said, ...change })).toThrow(expect.objectContaining({ code: 'bad-proof' }));
  });

  test.each([
    ['challenge', '00'.repeat(32), 'bad-proof'],
    ['key', '00'.repeat(32), 'bad-proof'],
    ['signature', '00'.repeat(64), 'bad-proof'],
    ['challenge', '', 'bad-field'],
    ['key', '00'.repeat(33), 'bad-field'],
    ['token', '00'.repeat(32), 'bad-field'],
    ['signature', '', 'bad-field'],
  ])('refuse a proof whose %s is %j: %s', (field, value, code) => {
    const atServer = serverEnd();
    const said = siteEnd(atServer.challenge).sign(says);
    expect(() => atServer.take(withProof(said, { [field]: value }))).toThrow(expect.objectContaining({ code }));
  });

  test('refuse what has no proof at all', () => {
    expect(() => serverEnd().take(says)).toThrow(expect.objectContaining({ code: 'no-proof' }));
    expect(() => siteEnd(says)).toThrow(expect.objectContaining({ code: 'out-of-order' }));
  });
});

function signer(): Signer {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const { x } = publicKey.export({ format: 'jwk' });
  return {
    publicKey: new Uint8Array(Buffer.from(x as string, 'base64url')),
    sign: (bytes) => new Uint8Array(sign(null, bytes, privateKey)),
  };
}
