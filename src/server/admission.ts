// How a study takes a site that says hello (reception.ts): where both stand is compared, and the connection becomes the site's link's.

import { ProtocolError, type SeptumError } from '../base/index.ts';
import type { Plan } from '../protocol/index.ts';
import type { Caller } from './reception.ts';
import { goingBack, returnOf, wentBack } from './refuse.ts';
import type { ServerSiteLink } from './site-link.ts';

export interface AdmissionOptions {
  readonly plan: Plan;
  /** A site's link; undefined while the study goes back to a commit. */
  readonly link: (site: number) => ServerSiteLink | undefined;
  /** Called for a site process that starts over while the server's session is further. Throws ProtocolError when it cannot be served at once. */
  readonly restart: (site: number) => void;
  readonly onRefused: (remote: string, reason: string, code: string) => void;
}

/** Serves a caller's connection until it ends. Throws ProtocolError for a hello that does not fit where the study stands. */
export async function admit({ connection, hello, key, sign, gate }: Caller, options: AdmissionOptions): Promise<void> {
  const { plan, onRefused } = options;
  const site = plan.sites.indexOf(hello.site);
  const link = options.link(site);
  if (!link) throw goingBack();
  if (link.connected) throw new ProtocolError('already-connected', `site ${hello.site} is connected already`);
  if (hello.sequence === 0) {
    if (link.position > 0) options.restart(site);
    link.life = hello.text;
  } else if (link.life === '') {
    throw wentBack(hello.site);
  } else if (link.life !== hello.text) {
    throw new ProtocolError('out-of-order', `another process takes part as site ${hello.site}`);
  }
  const dismiss = (error: SeptumError): void => {
    onRefused(connection.remote, error.message, error.code);
    link.dismiss(connection, error, returnOf(error));
  };
  const leave = gate?.host({ study: plan.study, site: hello.site, key, dismiss });
  await link.serve(connection, hello.sequence, sign).finally(leave);
}
