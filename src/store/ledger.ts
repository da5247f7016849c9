// What leaves a site, written down before it leaves: entries that are only ever appended, each bound to the one before by a hash, and
// signed with the site's key. docs/LEDGER.md has the form and what a check of it finds.

/** A message on its way to the server, without its values. */
export interface SentMessage {
  readonly kind: string;
  /** Its line in the site's script. */
  readonly sequence: number;
  readonly epoch: number;
  readonly step: number;
  readonly part: number;
  readonly chunk: number;
  /** Name, type and dimensions of each tensor, like `cut float32 [32, 16, 32, 32]`. */
  readonly tensors: readonly string[];
  /** How many records the tensors have values of; 0 for a message that is not about single records. */
  readonly records: number;
  /** Whether it was recorded before, and is sent again after a broken connection. */
  readonly again: boolean;
}

/** What else a ledger tells of. Texts are for people and hold nothing of any record. */
export type LedgerEvent =
  /** The operator agreed to a plan: asked on the terminal, by its hash on the command line, or earlier. */
  | {
      readonly what: 'approved';
      readonly study: string;
      readonly plan: string;
      readonly how: 'asked' | 'flag' | 'remembered';
    }
  | {
      readonly what: 'session-opened';
      readonly study: string;
      readonly plan: string;
      readonly site: string;
      readonly server: string;
    }
  /** `reason` is an error's code, or `finished`. */
  | { readonly what: 'session-closed'; readonly study: string; readonly reason: string }
  /** The operator takes the site out of a study, for good. */
  | { readonly what: 'withdrawn'; readonly study: string; readonly site: string }
  /** The server sent what the plan does not have. */
  | { readonly what: 'refused'; readonly code: string; readonly text: string }
  /** The operator went on against a warning. */
  | { readonly what: 'override'; readonly of: string; readonly text: string };

/**
 * A ledger that is being written. Entries keep the order of the calls. After an entry could not be written every call throws the same
 * error: what cannot be recorded must not leave.
 */
export interface Ledger extends AsyncDisposable {
  /** Adds an entry. When it returns, the entry outlives this process. Throws DataError `bad-file`, also after `close`. */
  append(event: LedgerEvent): void;
  /** The same for a message, with the length and the SHA-256 of its frame, whose parts follow one another. To be called before it is sent. */
  appendSent(message: SentMessage, frame: readonly Uint8Array[]): void;
  /** Resolves when every entry so far is signed and would outlive a crash of the machine. Rejects with DataError `bad-file`. */
  sync(): Promise<void>;
  /** Signs the end. A second call does nothing. Rejects with DataError `bad-file`. */
  close(): Promise<void>;
}
