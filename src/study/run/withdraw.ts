// How a site takes no further part in a study: it notes so for itself, enters it into its ledger, and tells the server.

import { ConfigError, withDeadline } from '../../base/index.ts';
import { systemClock } from '../../base/node/index.ts';
import { checkWithdrawn, withdraw } from '../../protocol/index.ts';
import { greet, OutboundLedger } from '../../site/index.ts';
import { connectWebSocket } from '../../transport/node/index.ts';
import { joinedStudies, keepWithdrawn, openEnrolment, proxyFor } from '../enrolment/index.ts';
import { openSiteLedger } from './site-ledger.ts';

/** How long the server may take to answer. */
const answerTimeoutMs = 15_000;

export interface WithdrawOptions {
  readonly proxy?: string | undefined;
  readonly signal: AbortSignal;
  /** Told once it is noted in the site's folder, before the server is told: from here on the site takes no part. */
  readonly onNoted?: (site: string, place: string) => void;
}

/**
 * Withdraws the site of this folder from a study. What was cut short is done again by the same call. Throws ConfigError for a study that
 * the site has not joined, DataError `bad-file` while another process uses the folder, and TransportError, TimeoutError or ProtocolError
 * when the server could not be told.
 */
export async function withdrawFromStudy(folder: string, study: string, options: WithdrawOptions): Promise<void> {
  const joined = await joinedStudies(folder);
  const place = joined.get(study);
  if (place === undefined) {
    const has = joined.size === 0 ? 'no study' : [...joined.keys()].join(', ');
    throw new ConfigError(
      'bad-usage',
      `--state ${folder}: the site has not joined study ${study}; it has joined ${has}`,
    );
  }
  const { site, url, keys, introduce, withdrawn } = await openEnrolment(place);
  const proxy = proxyFor(url, options.proxy);
  await using ledger = await openSiteLedger(place);
  if (withdrawn === undefined) {
    ledger.append({ what: 'withdrawn', study, site });
    await ledger.sync();
    await keepWithdrawn(place);
  }
  options.onNoted?.(site, place);
  const outbound = new OutboundLedger(ledger);
  const introduction = await introduce();
  await using connection = await connectWebSocket(url, { signal: options.signal, proxy, introduction });
  const answer = await withDeadline(
    (signal) =>
      greet(connection, {
        says: withdraw(site, study),
        frameOf: (said) => outbound.frameOf(said),
        keys,
        signal,
      }),
    answerTimeoutMs,
    'waiting for the server to note that this site withdraws',
    systemClock,
    options.signal,
  );
  checkWithdrawn(answer, site, study);
}
