// The certificate that a site shows a server that demands one in the TLS handshake (mutual TLS), and what the server makes of it. It is on
// the site's own key and signed by it. No authority is needed: the registry knows the keys.
//
// A site that joins has a key that nobody knows yet. Its certificate's name says that it has an invite, by a tag:
//
//     HMAC-SHA-256 (key: SHA-256 of the invite's token; `septum invite 1` and the public key), base64url
//
// The registry has that hash. Whoever is shown the tag learns nothing of the token, and can show it for no key of his own.

import { createHmac, timingSafeEqual } from 'node:crypto';
import { codeOf, DataError, fromHex, messageOf, sha256Hex, toHex } from '../../base/index.ts';
import type { RegisteredInvite, Registry } from '../../store/index.ts';
import type { SigningKey } from '../../store/node/index.ts';
import { type Certificate, certifyItself, type Objection, type ShownCertificate } from '../../transport/node/index.ts';

/** It is made for each connection; nobody looks at its dates. */
const validMs = 24 * 3_600_000;
const invited = 'septum invite ';

/** A site's certificate for one connection; with `token` that of a site that is about to join by that invite. */
export function siteCertificate({ publicKey, privateKey }: SigningKey, token?: Uint8Array): Certificate {
  const subject = token ? `${invited}${tagOf(sha256Hex(token), publicKey).toString('base64url')}` : 'septum site';
  return certifyItself(privateKey, subject, Date.now(), validMs);
}

/**
 * Why whoever shows this certificate may not come in; undefined when its key is a site's, or is to become one's by an invite that is open.
 * A site that has withdrawn may come and hear so. While the registry cannot be read nobody may. Never throws for that.
 */
export function objectionTo(shown: ShownCertificate, registry: Registry, nowMs: number): Objection | undefined {
  try {
    const { site, standing } = registry.holder(toHex(shown.key)) ?? {};
    switch (standing) {
      case 'enrolled':
      case 'withdrawn':
        return undefined;
      case 'revoked':
        return { code: 'revoked', reason: `the certificate of site ${site}, which was revoked` };
      case 'replaced':
        return { code: 'key-replaced', reason: `the certificate of site ${site}, which has another key now` };
      case undefined:
        return objectionToInvited(inviteOf(shown, registry, nowMs));
    }
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    return { code: codeOf(error), reason: messageOf(error) };
  }
}

/** The invite whose tag stands in the certificate. */
function inviteOf({ key, subject }: ShownCertificate, registry: Registry, nowMs: number): RegisteredInvite | undefined {
  const [, tag] = /^CN=septum invite ([A-Za-z0-9_-]{43})$/.exec(subject) ?? [];
  if (tag === undefined) return undefined;
  const shown = Buffer.from(tag, 'base64url');
  return registry.invites(nowMs).find(({ tokenHash }) => timingSafeEqual(tagOf(tokenHash, key), shown));
}

function objectionToInvited(invite: RegisteredInvite | undefined): Objection | undefined {
  switch (invite?.standing) {
    case 'open':
      return undefined;
    case 'expired':
      return {
        code: 'token-expired',
        reason: `the certificate is of the invite of site ${invite.site}, which has expired`,
      };
    case 'spent':
      return {
        code: 'token-spent',
        reason: `the certificate is of the invite of site ${invite.site}, which was used already, for another key`,
      };
    case undefined:
      return { code: 'unknown-certificate', reason: 'the certificate’s key is no site’s, and of no invite' };
  }
}

function tagOf(tokenHash: string, publicKey: Uint8Array): Buffer {
  return createHmac('sha256', fromHex(tokenHash)).update('septum invite 1').update(publicKey).digest();
}
