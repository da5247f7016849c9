// Who gets in: a connection says hello with its site's name, its plan's hash and where it stands. With a gate it proves who it is, or is
// enrolled; without one a name is all there is, so the server then listens on loopback only.

import {
  type Clock,
  codeOf,
  messageOf,
  ProtocolError,
  SeptumError,
  TimeoutError,
  TransportError,
  withDeadline,
} from '../base/index.ts';
import {
  checkHello,
  decodeMessage,
  encodeMessage,
  type Message,
  type Plan,
  readRefusal,
  type Return,
} from '../protocol/index.ts';
import type { Connection, Listener } from '../transport/index.ts';
import { type Gate, toldOf } from './gate.ts';
import { refuse } from './refuse.ts';
import type { ServerSiteLink } from './site-link.ts';

/** What a peer may send before its hello is accepted: many times a hello, and little even from as many peers as may be connected. */
const strangerBytesMax = 4096;

export interface AdmissionOptions {
  readonly plan: Plan;
  readonly planHash: string;
  /** A site's link; undefined while the study goes back to a commit. */
  readonly link: (site: number) => ServerSiteLink | undefined;
  /** Who may come in; without it, whoever says a site's name. */
  readonly gate?: Gate | undefined;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** A connection that has not said hello by then is closed. */
  readonly helloTimeoutMs: number;
  /** Called for a site process that starts over while the server's session is further. Throws ProtocolError when it cannot be served at once. */
  readonly restart: (site: number) => void;
  /** Called for a site that has become one by an invite. */
  readonly onEnrolled?: (remote: string, site: string) => void;
  readonly onRefused: (remote: string, reason: string, code: string) => void;
}

/** Accepts connections until the listener closes, and resolves when all that it accepted are gone. Each is served on its own; one that misbehaves costs itself only. */
export async function admit(listener: Listener, options: AdmissionOptions): Promise<void> {
  const served = new Set<Promise<void>>();
  const strangers = new Set<Connection>();
  const watching = options.gate?.watch(options.clock, options.signal);
  try {
    for (;;) {
      const connection = await listener.accept(options.signal);
      if (!connection) return;
      connection.boundInbound(strangerBytesMax);
      strangers.add(connection);
      const serving = greet(connection, options, () => strangers.delete(connection))
        .catch((error: unknown) => options.onRefused(connection.remote, messageOf(error), codeOf(error)))
        .finally(() => served.delete(serving));
      served.add(serving);
    }
  } finally {
    await Promise.all([...strangers].map((connection) => connection.close('the study is over')));
    await Promise.all(served);
    await watching;
  }
}

async function greet(connection: Connection, options: AdmissionOptions, onHello: () => void): Promise<void> {
  try {
    const entrance = options.gate?.meet(connection);
    const frame = await withDeadline(
      async (signal) => {
        if (entrance) await connection.send(encodeMessage(entrance.challenge), signal);
        return connection.receive(signal);
      },
      options.helloTimeoutMs,
      'waiting for hello',
      options.clock,
    ).finally(onHello);
    if (!frame) throw new TransportError('closed', 'the peer closed the connection before it said hello');
    const received = decodeMessage(frame);
    if (received.kind === 'refuse')
      throw new TransportError('refused', `the peer closes: ${readRefusal(received).text}`);
    if (entrance && received.kind === 'enrol') {
      const { answer, site } = entrance.enrol(received);
      options.onEnrolled?.(connection.remote, site);
      await connection.send(encodeMessage(answer));
      return await connection.close();
    }
    const { said: hello, key } = entrance?.admit(received) ?? { said: received, key: '' };
    const site = siteOf(hello, options.plan, options.planHash);
    const link = options.link(site);
    if (!link) throw goingBack();
    if (link.connected) throw new ProtocolError('already-connected', `site ${hello.site} is connected already`);
    if (hello.sequence === 0) {
      if (link.position > 0) options.restart(site);
      link.life = hello.text;
    } else if (link.life === '') {
      throw new ProtocolError(
        'study-went-back',
        `the study has begun anew or went back to a commit since site ${hello.site} was here`,
      );
    } else if (link.life !== hello.text) {
      throw new ProtocolError('out-of-order', `another process takes part as site ${hello.site}`);
    }
    const dismiss = (error: SeptumError): void => {
      options.onRefused(connection.remote, error.message, error.code);
      link.dismiss(connection, error, mayReturn(error));
    };
    const leave = options.gate?.host({ site: hello.site, key, dismiss });
    await link.serve(connection, hello.sequence, (answer) => entrance?.sign(answer) ?? answer).finally(leave);
  } catch (error) {
    options.onRefused(connection.remote, messageOf(error), codeOf(error));
    const told =
      error instanceof SeptumError ? toldOf(error) : new ProtocolError('bad-frame', 'hello could not be read');
    await refuse(connection, told, mayReturn(told), options.clock);
  }
}

/** What a site is told that comes while the study goes back. */
export function goingBack(): ProtocolError {
  return new ProtocolError('going-back', 'the study goes back to a commit: come again');
}

/**
 * A name that is taken may be the same site's dying connection, a hello that came late a slow network's, and a site whose key was replaced
 * may find its new one any moment: they may try again.
 */
function mayReturn(told: SeptumError): Return {
  if (told.code === 'study-went-back') return 'anew';
  const mayTryAgain = told.code === 'already-connected' || told.code === 'going-back' || told.code === 'key-replaced';
  return mayTryAgain || told instanceof TimeoutError ? 'again' : 'never';
}

/** The site that says hello. Throws ProtocolError when it is not one of the study's or runs another plan. */
function siteOf(hello: Message, plan: Plan, planHash: string): number {
  checkHello(hello);
  const site = plan.sites.indexOf(hello.site);
  if (site < 0)
    throw new ProtocolError('unknown-site', `the study has no site ${JSON.stringify(hello.site.slice(0, 64))}`);
  if (hello.plan !== planHash) {
    throw new ProtocolError(
      'plan-mismatch',
      `site ${hello.site} has another plan than the server: compare the study files and the Septum versions`,
    );
  }
  return site;
}
