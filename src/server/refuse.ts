// The last word to a peer that must go.

import { type Clock, type SeptumError, withDeadline } from '../base/index.ts';
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
