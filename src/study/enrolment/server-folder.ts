// What a server's folder has of who it is and who its sites are: identity.key and registry.db.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError, sha256Hex } from '../../base/index.ts';
import { type Plan, planHash } from '../../protocol/index.ts';
import type { RegisteredStudy, Registry } from '../../store/index.ts';
import { makeFolder, openKeyFile, openSqliteRegistry, type SigningKey } from '../../store/node/index.ts';
import { cryptography } from './cryptography.ts';
import { fingerprint, writeInvite } from './invite.ts';

const registryFile = (folder: string): string => join(folder, 'registry.db');

/** Opens a server's registry; it is made if it is not there. The caller closes it. Throws DataError `bad-file`. */
export async function openRegistry(folder: string): Promise<Registry> {
  await makeFolder(folder);
  return openSqliteRegistry(registryFile(folder));
}

/** Opens the identity key, which is made if it is not there. Throws DataError `bad-file`. */
export async function openIdentity(folder: string): Promise<SigningKey> {
  await makeFolder(folder);
  return openKeyFile(join(folder, 'identity.key'));
}

/** Notes that a study is served at an address, in a folder below the server's. */
export function enterStudy(
  registry: Registry,
  plan: Plan,
  { address, folder = '' }: { readonly address: string; readonly folder?: string },
): void {
  const { study: name, sites, training } = plan;
  const where = address.replace(/^wss?:\/\//, '');
  registry.putStudy({ name, plan: planHash(plan), sites, address: where, folder, epochs: training.epochs }, Date.now());
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
  return withSite(folder, options, async (registry, study) => {
    const identity = await openIdentity(folder);
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
  return withSite(folder, options, async (registry, study) => registry.revoke(study.name, options.site, Date.now()));
}

/** Does `work` with the registry of a server's folder. Throws ConfigError when no server has run there. */
export async function withRegistry<T>(folder: string, work: (registry: Registry) => Promise<T>): Promise<T> {
  if (!existsSync(registryFile(folder)))
    throw new ConfigError('bad-usage', `--state ${folder}: no server has run there; start septum server with it first`);
  await using registry = await openRegistry(folder);
  return await work(registry);
}

function withSite<T>(
  folder: string,
  { site, study: name }: { readonly site: string; readonly study?: string | undefined },
  work: (registry: Registry, study: RegisteredStudy) => Promise<T>,
): Promise<T> {
  return withRegistry(folder, (registry) => {
    const studies = registry.studies();
    const names = studies.map((study) => study.name).join(', ');
    // A site's name may say which study is meant.
    const meant = studies.filter((one) => (name === undefined ? one.sites.includes(site) : one.name === name));
    const [study = studies[0], more] = meant;
    if (!study || (name !== undefined && meant.length === 0))
      throw new ConfigError(
        'bad-usage',
        name === undefined ? `--state ${folder}: it has no study yet` : `there is no study ${name}; there are ${names}`,
      );
    if (more)
      throw new ConfigError('bad-usage', `site ${site} is in several studies, of ${names}: say which, with --study`);
    if (!study.sites.includes(site))
      throw new ConfigError(
        'bad-usage',
        studies.length > 1 && name === undefined
          ? `none of the studies ${names} has a site ${site}`
          : `study ${study.name} has no site ${site}; its sites are ${study.sites.join(', ')}`,
      );
    return work(registry, study);
  });
}
