// What a server knows of its studies' sites: who belongs, by which key, and which invites are open. Several processes may have the same
// registry open: the server, and the commands that invite and revoke. Each call is one transaction.
//
// A key is a public key, a token hash the SHA-256 of an invite's token, both in hexadecimal. Times are milliseconds since 1970.

/** A study as the registry has it. */
export interface RegisteredStudy {
  readonly name: string;
  /** The plan's hash. */
  readonly plan: string;
  readonly sites: readonly string[];
  /** Where sites reach the server, `HOST:PORT`, as far as the server knows. */
  readonly address: string;
}

/** What a token is worth. */
export type TokenStanding = 'open' | 'unknown' | 'expired' | 'spent';

/** What a key is to a site: its own, none of its keys ever, one that another has replaced, or one that was revoked. */
export type KeyStanding = 'enrolled' | 'unknown' | 'replaced' | 'revoked';

/** Every method throws DataError `bad-file` when the registry cannot be read or written. */
export interface Registry extends AsyncDisposable {
  /** Enters a study, or what has changed of it; keys and invites stay. */
  putStudy(study: RegisteredStudy): void;
  /** All studies, by name. */
  studies(): readonly RegisteredStudy[];
  /** Opens an invite for a site of a study, in place of all that were open for it. Throws DataError `missing-data` for a site that the study does not have. */
  invite(
    study: string,
    site: string,
    token: { readonly hash: string; readonly expiresMs: number },
    nowMs: number,
  ): void;
  /**
   * Gives a site its key for the token of an invite, which is then spent; the key it had is replaced. The same token serves the same key
   * again, so that an answer that was lost can be asked for once more. Anything but `open` has changed nothing.
   */
  enrol(study: string, site: string, tokenHash: string, key: string, nowMs: number): TokenStanding;
  /** Takes a site's key away, and its open invites. Gives false when it had neither. Throws DataError `missing-data` for a site that the study does not have. */
  revoke(study: string, site: string, nowMs: number): boolean;
  /** What a key is to a site of a study. */
  standing(study: string, site: string, key: string): KeyStanding;
  /** A number that is another one after any other process has written. */
  version(): number;
}
