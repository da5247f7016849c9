// The last word to a peer that must go.

import {
  type Clock,
  ProtocolError,
  type ProtocolErrorCode,
  type SeptumError,
  TimeoutError,
  withDeadline,
} from '../base/index.ts';
import { encodeMessage, refusal, type Return } from '../protocol/index.ts';
import type { Connection } from '../transport/index.ts';

/** How long a peer may take to read why it is refused. */
const refusalTimeoutMs = 2_000;

/** Tells a peer why it is refused and whether it may come again, and closes. */
export async function refuse(
  connection: Connection,
  error: SeptumError,
  mayReturn: Return,
  clock: Clock,
): Promise<void> {
  try {
    const frame = encodeMessage(refusal(error, mayReturn));
    await withDeadline((signal) => connection.send(frame, signal), refusalTimeoutMs, 'telling a peer', clock);
  } catch {
    // The peer is gone, or does not read; there is nobody to tell.
  }
  await connection.close();
}

/** What a site is told that comes while the study goes back. */
export function goingBack(): ProtocolError {
  return new ProtocolError('going-back', 'the study goes back to a commit: come again');
}

/** What a site is told whose session the study has given up. */
export function wentBack(site: string): ProtocolError {
  return new ProtocolError(
    'study-went-back',
    `the study has begun anew or went back to a commit since site ${site} was here`,
  );
}

/** What a site is told that comes although it has withdrawn. */
export function hasWithdrawn(site: string): ProtocolError {
  return new ProtocolError('withdrawn', `site ${site} has withdrawn from the study`);
}

const mayTryAgain: ReadonlySet<string> = new Set<ProtocolErrorCode>([
  'already-connected',
  'going-back',
  'key-replaced',
  'wrong-certificate',
]);

/**
 * Whether a peer that is told so may come again. A name that is taken may be the same site's dying connection, a hello that came late a slow
 * network's, and a site whose key was replaced, since its TLS handshake or before, may find its new one any moment: they may try again.
 */
export function returnOf(told: SeptumError): Return {
  if (told.code === 'study-went-back') return 'anew';
  return mayTryAgain.has(told.code) || told instanceof TimeoutError ? 'again' : 'never';
}
