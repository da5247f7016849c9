// The messages that stand outside the script: hello and welcome, by which the two sides of a session tell each other where they stand, and
// refuse, by which either says why it closes a connection; enrol and enrolled, by which a site that brings an invite becomes one of the
// study's; and withdraw and withdrawn, by which it ceases to be one. Where the connection asks for proof of who speaks, proof.ts adds it to a message and takes it off. Each is made here, and each that arrives is checked in every field.

import { ProtocolError, type SeptumError } from '../base/index.ts';
import { message, type Message } from './message.ts';

/**
 * What a site says first on a connection: who it is, by which plan it goes, and how many lines of its script have passed. `life` tells the
 * process from another one under the same name, 1 to 64 letters and digits.
 */
export function hello(site: string, plan: string, position: number, life: string): Message {
  return message('hello', { site, plan, sequence: position, text: life });
}

/** The server's answer: its plan, and how many lines of the site's script have passed at the server. */
export function welcome(plan: string, position: number): Message {
  return message('welcome', { plan, sequence: position });
}

/** What a site says instead of hello when it brings an invite to a study: its proof has the token, and the key that is to be its own. */
export function enrol(site: string, study: string): Message {
  return message('enrol', { site, text: study });
}

/** The server's answer: the site's key is known from here on. */
export function enrolled(site: string, study: string): Message {
  return message('enrolled', { site, text: study });
}

/** What a site says instead of hello when it takes no further part in a study: its proof has the key that it had there. */
export function withdraw(site: string, study: string): Message {
  return message('withdraw', { site, text: study });
}

/** The server's answer: the site's key serves no more, and its word is noted. */
export function withdrawn(site: string, study: string): Message {
  return message('withdrawn', { site, text: study });
}

/** Whether a peer that is refused may come again: where it stands, or `anew`, from the start of its script. */
export type Return = (typeof returns)[number];
const returns = ['never', 'again', 'anew'] as const;

/** Tells the peer why it is refused, and whether it may come again. The error's message must hold nothing of any record. */
export function refusal(error: SeptumError, mayReturn: Return): Message {
  return message('refuse', {
    text: `${error.code}: ${error.message}`.slice(0, refusalTextMost),
    scalars: [returns.indexOf(mayReturn)],
  });
}

/** Longest text of a refusal, in characters. */
export const refusalTextMost = 1000;

/** Throws ProtocolError unless the message is a hello with nothing in it but site, plan, position and life. */
export function checkHello(received: Message): void {
  requireOnly(received, 'hello', ['site', 'plan', 'sequence', 'text']);
  if (!/^[0-9a-z]{1,64}$/i.test(received.text))
    throw new ProtocolError('bad-field', 'hello: expected 1 to 64 letters and digits that tell the process');
}

/** Throws ProtocolError unless the message is a welcome to this plan, with nothing else in it but the server's position. */
export function checkWelcome(received: Message, plan: string): void {
  requireOnly(received, 'welcome', ['plan', 'sequence']);
  if (received.plan !== plan)
    throw new ProtocolError('plan-mismatch', 'the server runs another plan than this site approved');
}

/** Throws ProtocolError unless the message is an enrol with nothing in it but site and study. */
export function checkEnrol(received: Message): void {
  requireOnly(received, 'enrol', ['site', 'text']);
}

/** Throws ProtocolError unless the message says that this site is enrolled in this study. */
export function checkEnrolled(received: Message, site: string, study: string): void {
  requireOnly(received, 'enrolled', ['site', 'text']);
  if (received.site !== site || received.text !== study)
    throw new ProtocolError('bad-field', 'enrolled: another site or study than the invite’s');
}

/** Throws ProtocolError unless the message is a withdraw with nothing in it but site and study. */
export function checkWithdraw(received: Message): void {
  requireOnly(received, 'withdraw', ['site', 'text']);
}

/** Throws ProtocolError unless the message says that this site has withdrawn from this study. */
export function checkWithdrawn(received: Message, site: string, study: string): void {
  requireOnly(received, 'withdrawn', ['site', 'text']);
  if (received.site !== site || received.text !== study)
    throw new ProtocolError('bad-field', 'withdrawn: another site or study than this one');
}

/** What a refuse says. The text is printable ASCII, at most `refusalTextMost` characters. Throws ProtocolError unless it is a well-formed refuse. */
export function readRefusal(received: Message): { readonly text: string; readonly mayReturn: Return } {
  requireOnly(received, 'refuse', ['text', 'scalars']);
  const mayReturn = returns[received.scalars[0] ?? -1];
  if (received.scalars.length !== 1 || mayReturn === undefined)
    throw new ProtocolError('bad-field', 'refuse: expected one scalar, 0, 1 or 2');
  if (received.text.length > refusalTextMost)
    throw new ProtocolError('bad-field', `refuse: a text of ${received.text.length} characters`);
  return { text: received.text.replace(/[^\x20-\x7e]/g, '?'), mayReturn };
}

function requireOnly(received: Message, kind: Message['kind'], allowed: readonly (keyof Message)[]): void {
  if (received.kind !== kind) throw new ProtocolError('out-of-order', `expected ${kind}, got ${received.kind}`);
  for (const [field, value] of Object.entries(received)) {
    if (field === 'kind' || allowed.includes(field as keyof Message)) continue;
    const empty = typeof value === 'number' ? value === 0 : (value as ArrayLike<unknown>).length === 0;
    if (!empty) throw new ProtocolError('bad-field', `${kind} carries ${field}, which it must not`);
  }
}
