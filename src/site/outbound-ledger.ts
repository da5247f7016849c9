// What a site's ledger is told: every message before it leaves, and what of the server's was refused.

import { ProtocolError, TransportError } from '../base/index.ts';
import { encodeMessage, type Message, type NamedTensor } from '../protocol/index.ts';
import type { Ledger } from '../store/index.ts';

/** A ledger as the link to the server uses it; without one nothing is kept. */
export class OutboundLedger {
  readonly #ledger: Ledger | undefined;

  constructor(ledger: Ledger | undefined) {
    this.#ledger = ledger;
  }

  /** The frame of a message that is about to leave, recorded. Throws DataError `bad-file` when it cannot be: then it must not leave. */
  frameOf(message: Message, again = false): readonly Uint8Array<ArrayBuffer>[] {
    const frame = encodeMessage(message);
    if (!this.#ledger) return frame;
    const { kind, sequence, epoch, step, part, chunk, tensors } = message;
    this.#ledger.appendSent(
      {
        kind,
        sequence,
        epoch,
        step,
        part,
        chunk,
        tensors: tensors.map(describe),
        records: ofRecords.has(kind) ? (tensors[0]?.tensor.dims[0] ?? 0) : 0,
        again,
      },
      frame,
    );
    return frame;
  }

  /** Records an error that is the server's: it sent what the plan does not have at this place. */
  refused(error: unknown): void {
    const ofServer =
      (error instanceof ProtocolError && error.code !== 'refused-by-peer') ||
      (error instanceof TransportError && error.code === 'too-large');
    if (ofServer) this.#ledger?.append({ what: 'refused', code: error.code, text: error.message.slice(0, textMost) });
  }
}

/** Longest text of an entry, in characters: a part of it may be the server's. */
const textMost = 1000;

/** Kinds whose tensors have a row for each record. */
const ofRecords: ReadonlySet<string> = new Set(['activations', 'output-gradient']);

function describe({ name, tensor: { dtype, dims } }: NamedTensor): string {
  return `${name} ${dtype} [${dims.join(', ')}]`;
}
