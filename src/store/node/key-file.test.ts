import { verify, createPublicKey } from 'node:crypto';
import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openKeyFile } from './key-file.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'septum-key-'));
});
afterEach(() => rm(folder, { recursive: true }));

test('a key is made once, is the same when opened again, and signs so that its public key verifies', async () => {
  const path = join(folder, 'site.key');
  const made = await openKeyFile(path);
  const again = await openKeyFile(path);
  expect(again.publicKey).toEqual(made.publicKey);
  expect(made.publicKey).toHaveLength(32);
  const bytes = new TextEncoder().encode('septum');
  const x = Buffer.from(made.publicKey).toString('base64url');
  const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  expect(verify(null, bytes, publicKey, again.sign(bytes))).toBe(true);
  expect(verify(null, new Uint8Array([1]), publicKey, again.sign(bytes))).toBe(false);
  expect(await readdir(folder)).toEqual(['site.key']);
});

test.skipIf(process.platform === 'win32')(
  'only its owner can read it, and one that others can read is refused',
  async () => {
    const path = join(folder, 'site.key');
    await openKeyFile(path);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await chmod(path, 0o640);
    await expect(openKeyFile(path)).rejects.toThrow(/site\.key: others than its owner may read it \(mode 640\)/);
  },
);

test('a file that is no key is refused without its content', async () => {
  const path = join(folder, 'site.key');
  await writeFile(path, 'secret words', { mode: 0o600 });
  await expect(openKeyFile(path)).rejects.toThrow(/it is not a private key/);
  await expect(openKeyFile(path)).rejects.not.toThrow(/secret words/);
});
