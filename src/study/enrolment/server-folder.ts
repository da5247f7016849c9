// What a server's folder has of who it is and who its sites are: identity.key and registry.db.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, sha256Hex } from '../../base/index.ts';
import type { RegisteredStudy, Registry } from '../../store/index.ts';
import { makeFolder, openKeyFile, openSqliteRegistry, type SigningKey } from '../../store/node/index.ts';
import { cryptography } from './cryptography.ts';
import { fingerprint, writeInvite } from './invite.ts';

export interface ServerFolder {
  readonly identity: SigningKey;
  readonly registry: Registry;
}

const registryFile = (folder: string): string => join(folder, 'registry.db');

/** Opens the identity key and the registry; both are made if they are not there. The caller closes the registry. Throws DataError `bad-file`. */
export async function openServerFolder(folder: string): Promise<ServerFolder> {
  await makeFolder(folder);
  const identity = await openKeyFile(join(folder, 'identity.key'));
  return { identity, registry: await openSqliteRegistry(registryFile(folder)) };
}

export interface InviteOptions {
  readonly site: string;
  /** Which study, where the folder has several. */
  readonly study?: string | undefined;
  /** Where the site reaches the server, `HOST:PORT`. Default: where the server listens. */
  readonly address?: string | undefined;
  readonly validMs: number;
}

/** What a person is told of an invite that was made. */
export interface Invited {
  /** The invite: a secret. */
  readonly text: string;
  readonly study: string;
  readonly address: string;
  /** The identity's, to be compared. */
  readonly fingerprint: string;
}

/** Makes an invite for a site, in place of those that are open for it. Throws ConfigError where folder, study, site or address do not fit. */
export function inviteSite(folder: string, options: InviteOptions): Promise<Invited> {
  return withStudy(folder, options, ({ identity, registry }, study) => {
    const { site, validMs, address = study.address } = options;
    if (/^(0\.0\.0\.0|\[::\]):/.test(address))
      throw new ConfigError(
        'bad-usage',
        `the server listens on ${address}, which no site can call: say by which HOST:PORT sites reach it, with --address`,
      );
    const token = cryptography.randomBytes(32);
    const nowMs = Date.now();
    registry.invite(study.name, site, { hash: sha256Hex(token), expiresMs: nowMs + validMs }, nowMs);
    const text = writeInvite({ address, identity: identity.publicKey, study: study.name, site, token });
    return { text, study: study.name, address, fingerprint: fingerprint(identity.publicKey) };
  });
}

/** Takes a site's key and its open invites away. A server that runs sees it within a second. Gives false when there was nothing to take. */
export function revokeSite(
  folder: string,
  options: { readonly site: string; readonly study?: string | undefined },
): Promise<boolean> {
  return withStudy(folder, options, ({ registry }, study) => registry.revoke(study.name, options.site, Date.now()));
}

async function withStudy<T>(
  folder: string,
  { site, study: name }: { readonly site: string; readonly study?: string | undefined },
  work: (folder: ServerFolder, study: RegisteredStudy) => T,
): Promise<T> {
  if (!existsSync(registryFile(folder)))
    throw new ConfigError('bad-usage', `--state ${folder}: no server has run there; start septum server with it first`);
  const opened = await openServerFolder(folder);
  try {
    const studies = opened.registry.studies();
    const names = studies.map((study) => study.name).join(', ');
    const [study, more] = name === undefined ? studies : studies.filter((one) => one.name === name);
    if (!study)
      throw new ConfigError(
        'bad-usage',
        name === undefined ? `--state ${folder}: it has no study yet` : `there is no study ${name}; there are ${names}`,
      );
    if (more) throw new ConfigError('bad-usage', `there are several studies, ${names}: say which, with --study`);
    if (!study.sites.includes(site))
      throw new ConfigError(
        'bad-usage',
        `study ${study.name} has no site ${site}; its sites are ${study.sites.join(', ')}`,
      );
    return work(opened, study);
  } finally {
    await opened.registry[Symbol.asyncDispose]();
  }
}
