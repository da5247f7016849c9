// How a site becomes one of a study's: it makes its key, and has the server enrol it for the token of the invite.

import { toHex, withDeadline } from '../../base/index.ts';
import { systemClock } from '../../base/node/index.ts';
import { checkEnrolled, enrol } from '../../protocol/index.ts';
import { greet } from '../../site/index.ts';
import { connectWebSocket } from '../../transport/node/index.ts';
import { cryptography } from './cryptography.ts';
import type { Invite } from './invite.ts';
import { siteCertificate } from './site-certificate.ts';
import { keepEnrolment, placeOfStudy, prepareEnrolment } from './site-folder.ts';

/** How long the server may take to answer. */
const answerTimeoutMs = 15_000;

/**
 * Enrols this site with a key that is made in `folder`, or below it where the site has joined another study there, and stays there; gives
 * that place. With an invite for a site that has joined there, its key is replaced.
 * What was cut short is done again with the same invite. Throws ConfigError or DataError for the folder, TransportError, TimeoutError, and ProtocolError
 * `refused-by-peer`, or `wrong-identity` when another server answers, which then has not seen the token.
 */
export async function joinStudy(
  folder: string,
  invite: Invite,
  { proxy, signal }: { readonly proxy?: URL | undefined; readonly signal: AbortSignal },
): Promise<string> {
  const { address, study, site, identity, token } = invite;
  const place = await placeOfStudy(folder, study);
  const signer = await prepareEnrolment(place, invite);
  const introduction = { certificate: siteCertificate(signer, token), identity };
  await using connection = await connectWebSocket(`wss://${address}`, { signal, proxy, introduction });
  const answer = await withDeadline(
    (ended) =>
      greet(connection, {
        says: enrol(site, study),
        token: toHex(token),
        keys: { identity, open: async () => signer, cryptography },
        signal: ended,
      }),
    answerTimeoutMs,
    `waiting for ${address} to enrol this site`,
    systemClock,
    signal,
  );
  checkEnrolled(answer, site, study);
  await keepEnrolment(place, invite);
  return place;
}
