// What a server knows of its studies and their sites: who belongs, by which key, and which invites are open; and how each study goes
// (study-book.ts). Several processes may have the same registry open: the server, and the commands of its operator. Each call is one
// transaction.
//
// A key is a public key, a token hash the SHA-256 of an invite's token, both in hexadecimal. Times are milliseconds since 1970.

import type { StudyBook } from './study-book.ts';

/** A study as the registry has it. */
export interface RegisteredStudy {
  readonly name: string;
  /** The plan's hash. */
  readonly plan: string;
  readonly sites: readonly string[];
  /** Where sites reach the server, `HOST:PORT`, as far as the server knows. */
  readonly address: string;
  /** The study's folder below the server's; '' is the server's own. */
  readonly folder: string;
  /** How many epochs the plan has. */
  readonly epochs: number;
}

/** What a token is worth. */
export type TokenStanding = 'open' | 'unknown' | 'expired' | 'spent';

/** What a key is to a site: its own, none of its keys ever, one that another has replaced, one that was revoked, or that of a site that has withdrawn. */
export type KeyStanding = 'enrolled' | 'unknown' | 'replaced' | 'revoked' | 'withdrawn';

/** A site that has or had a key. */
export interface KeyHolder {
  readonly site: string;
  readonly standing: Exclude<KeyStanding, 'unknown'>;
}

/** An invite as the registry has it. */
export interface RegisteredInvite {
  readonly site: string;
  readonly tokenHash: string;
  readonly standing: Exclude<TokenStanding, 'unknown'>;
}

/** Every method throws DataError `bad-file` when the registry cannot be read or written. */
export interface Registry extends AsyncDisposable {
  /** How the studies go, and what their operator wants of them. */
  readonly book: StudyBook;
  /** Enters a study, or what has changed of it; keys and invites stay. With another plan, what the book has of it goes. */
  putStudy(study: RegisteredStudy, nowMs: number): void;
  /** All studies, by name. */
  studies(): readonly RegisteredStudy[];
  /**
   * Opens an invite for a site of a study, in place of all that were open for it. Throws DataError `missing-data` for a site that the study
   * does not have, or that has withdrawn from it.
   */
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
  /**
   * A site takes no further part, by its own word: its key and its open invites end. Gives what the key was to it before: anything but
   * `enrolled` has changed nothing.
   */
  withdraw(study: string, site: string, key: string, nowMs: number): KeyStanding;
  /** What a key is to the sites of this name, in each study in which it is or was one's. */
  standings(site: string, key: string): ReadonlyMap<string, Exclude<KeyStanding, 'unknown'>>;
  /** Whose a key is or was: the site that has it, or else the one that had it last. */
  holder(key: string): KeyHolder | undefined;
  /** All invites that have not been replaced. */
  invites(nowMs: number): readonly RegisteredInvite[];
  /** A number that is another one after any other process has written. */
  version(): number;
}
