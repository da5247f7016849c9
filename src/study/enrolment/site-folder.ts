// What a site's folder has of its enrolment: site.json, which pins the server's identity, and site.key. `site.key.next` is a key that is
// being enrolled: it takes the place of site.key once the server knows it, and serves again when the answer was lost.
//
// The first study that a site joins has the folder itself; each further one has `studies/NAME` in it, with a key, a ledger and commits of
// its own, so that nothing of one study is seen in another.

import { existsSync } from 'node:fs';
import { appendFile, mkdir, readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ConfigError, DataError, fromHex, toHex } from '../../base/index.ts';
import type { SiteKeys } from '../../site/index.ts';
import { openKeyFile, readPrivateFile, type SigningKey, writePrivateFile } from '../../store/node/index.ts';
import type { Introduction } from '../../transport/node/index.ts';
import { cryptography } from './cryptography.ts';
import { base64url, fromBase64url, type Invite, studyName } from './invite.ts';
import { siteCertificate } from './site-certificate.ts';

/** A site's enrolment in a study. */
export interface Enrolment {
  readonly study: string;
  readonly site: string;
  /** `wss://HOST:PORT`. */
  readonly url: string;
  readonly keys: SiteKeys;
  /** What the site shows in the TLS handshake of a connection, with its key as it is at the moment. */
  readonly introduce: () => Promise<Introduction>;
  /** Where the site has what it has of this study. */
  readonly folder: string;
  /** When it withdrew from the study (ISO 8601). */
  readonly withdrawn?: string | undefined;
}

const content = z.strictObject({
  version: z.literal(1),
  study: studyName,
  site: z.string().min(1),
  address: z.string().min(1),
  identity: z.base64url().length(43),
  withdrawn: z.iso.datetime().optional(),
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

/** The folders of the studies that a site has joined, by the studies' names. Throws DataError `bad-file`. */
export async function joinedStudies(folder: string): Promise<ReadonlyMap<string, string>> {
  const joined = new Map<string, string>();
  const below = join(folder, 'studies');
  const names = existsSync(below) ? (await readdir(below)).toSorted() : [];
  for (const place of [folder, ...names.map((name) => join(below, name))]) {
    const found = await readSite(place);
    if (found) joined.set(found.study, place);
  }
  return joined;
}

/** Where a site has, or is to have, what it has of a study. */
export async function placeOfStudy(folder: string, study: string): Promise<string> {
  const joined = await joinedStudies(folder);
  return joined.get(study) ?? (joined.size === 0 ? folder : join(folder, 'studies', study));
}

/** The enrolment in a study's folder. Throws ConfigError when no site has joined there, and DataError `bad-file` for files that are broken or that others may read. */
export async function openEnrolment(folder: string): Promise<Enrolment> {
  const found = await readSite(folder);
  if (!found) throw notJoined(folder);
  const { study, site, address, identity, withdrawn } = found;
  const open = async (): Promise<SigningKey> => {
    const { key } = files(folder);
    // A key that is gone is not made anew: nobody would know it.
    if (!existsSync(key)) throw notJoined(folder);
    return openKeyFile(key);
  };
  // What is wrong with it is said before anything is done.
  await open();
  const keys = { identity: fromBase64url(identity), open, cryptography };
  const introduce = async (): Promise<Introduction> => ({
    certificate: siteCertificate(await open()),
    identity: keys.identity,
  });
  return { study, site, url: `wss://${address}`, keys, introduce, folder, withdrawn };
}

/** Keeps that the site has withdrawn from the study of this folder, if it does not stand there yet. */
export async function keepWithdrawn(folder: string): Promise<void> {
  const found = await readSite(folder);
  if (!found) throw notJoined(folder);
  if (found.withdrawn === undefined) await writeSite(folder, { ...found, withdrawn: new Date().toISOString() });
}

function notJoined(folder: string): ConfigError {
  return new ConfigError(
    'bad-usage',
    `--state ${folder}: no site has joined there; ask for an invite and use septum join`,
  );
}

/** What a site that has withdrawn is told when it is to take part. */
export function hasWithdrawn({ site, study, withdrawn }: Pick<Enrolment, 'site' | 'study' | 'withdrawn'>): ConfigError {
  return new ConfigError(
    'bad-usage',
    `site ${site} has withdrawn from study ${study} (${withdrawn?.slice(0, 10)}): it takes no further part in it`,
  );
}

/** The key that is to be enrolled with this invite. Throws ConfigError when the folder belongs to another site, study or server. */
export async function prepareEnrolment(folder: string, { study, site, identity }: Invite): Promise<SigningKey> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const found = await readSite(folder);
  if (found?.withdrawn !== undefined) throw hasWithdrawn(found);
  if (found && (found.study !== study || found.site !== site || found.identity !== base64url(identity)))
    throw new ConfigError(
      'folder-not-empty',
      `--state ${folder}: site ${found.site} of study ${found.study} has joined there, with another server or by another name; give another folder`,
    );
  return openKeyFile(files(folder).nextKey);
}

/** Keeps what was enrolled: from here on the site has this key. */
export async function keepEnrolment(folder: string, { study, site, address, identity }: Invite): Promise<void> {
  const { key, nextKey } = files(folder);
  await writeSite(folder, { version: 1, study, site, address, identity: base64url(identity) });
  if (existsSync(key)) await appendFile(formerKeysFile(folder), `${toHex((await openKeyFile(key)).publicKey)}\n`);
  await rename(nextKey, key);
}

function writeSite(folder: string, content: Content): Promise<void> {
  return writePrivateFile(files(folder).site, `${JSON.stringify(content, null, 2)}\n`);
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
