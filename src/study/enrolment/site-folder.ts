// What a site's folder has of its enrolment: site.json, which pins the server's identity, and site.key. `site.key.next` is a key that is
// being enrolled: it takes the place of site.key once the server knows it, and serves again when the answer was lost.

import { existsSync } from 'node:fs';
import { appendFile, mkdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ConfigError, DataError, fromHex, toHex } from '../../base/index.ts';
import type { SiteKeys } from '../../site/index.ts';
import { openKeyFile, readPrivateFile, type SigningKey, writePrivateFile } from '../../store/node/index.ts';
import { cryptography } from './cryptography.ts';
import { base64url, fromBase64url, type Invite } from './invite.ts';

/** A site's enrolment in a study. */
export interface Enrolment {
  readonly study: string;
  readonly site: string;
  /** `wss://HOST:PORT`. */
  readonly url: string;
  readonly keys: SiteKeys;
}

const content = z.strictObject({
  version: z.literal(1),
  study: z.string().min(1),
  site: z.string().min(1),
  address: z.string().min(1),
  identity: z.base64url().length(43),
});
type Content = z.infer<typeof content>;

/** Public keys that the site had before, in hexadecimal, a line each: what they have signed in the ledger stays signed. */
const formerKeysFile = (folder: string): string => join(folder, 'site.key.former');

/** The public keys that the site had before. */
export async function formerKeys(folder: string): Promise<readonly Uint8Array[]> {
  const path = formerKeysFile(folder);
  if (!existsSync(path)) return [];
  const lines = (await readFile(path, 'utf8')).trim().split('\n');
  if (!lines.every((line) => /^[0-9a-f]{64}$/.test(line)))
    throw new DataError('bad-file', `${path}: it is no list of public keys`);
  return lines.map(fromHex);
}

const files = (folder: string) => ({
  site: join(folder, 'site.json'),
  key: join(folder, 'site.key'),
  nextKey: join(folder, 'site.key.next'),
});

/** Throws ConfigError when no site has joined there, and DataError `bad-file` for files that are broken or that others may read. */
export async function openEnrolment(folder: string): Promise<Enrolment> {
  const found = await readSite(folder);
  if (!found) throw notJoined(folder);
  const { study, site, address, identity } = found;
  const open = async (): Promise<SigningKey> => {
    const { key } = files(folder);
    // A key that is gone is not made anew: nobody would know it.
    if (!existsSync(key)) throw notJoined(folder);
    return openKeyFile(key);
  };
  // What is wrong with it is said before anything is done.
  await open();
  return { study, site, url: `wss://${address}`, keys: { identity: fromBase64url(identity), open, cryptography } };
}

function notJoined(folder: string): ConfigError {
  return new ConfigError(
    'bad-usage',
    `--state ${folder}: no site has joined there; ask for an invite and use septum join`,
  );
}

/** The key that is to be enrolled with this invite. Throws ConfigError when the folder belongs to another site, study or server. */
export async function prepareEnrolment(folder: string, { study, site, identity }: Invite): Promise<SigningKey> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const found = await readSite(folder);
  if (found && (found.study !== study || found.site !== site || found.identity !== base64url(identity)))
    throw new ConfigError(
      'folder-not-empty',
      `--state ${folder}: site ${found.site} of study ${found.study} has joined there, with another server or by another name; give another folder`,
    );
  return openKeyFile(files(folder).nextKey);
}

/** Keeps what was enrolled: from here on the site has this key. */
export async function keepEnrolment(folder: string, { study, site, address, identity }: Invite): Promise<void> {
  const { site: siteFile, key, nextKey } = files(folder);
  const kept: Content = { version: 1, study, site, address, identity: base64url(identity) };
  await writePrivateFile(siteFile, `${JSON.stringify(kept, null, 2)}\n`);
  if (existsSync(key)) await appendFile(formerKeysFile(folder), `${toHex((await openKeyFile(key)).publicKey)}\n`);
  await rename(nextKey, key);
}

async function readSite(folder: string): Promise<Content | undefined> {
  const { site } = files(folder);
  if (!existsSync(site)) return undefined;
  const text = await readPrivateFile(site);
  try {
    return content.parse(JSON.parse(text));
  } catch (cause) {
    throw new DataError('bad-file', `${site}: it is not what septum join writes; join again in another folder`, {
      cause,
    });
  }
}
