// The ledger of a site's folder, and what of a session goes into it beside the messages.

import { join } from 'node:path';
import { codeOf } from '../../base/index.ts';
import type { Ledger } from '../../store/index.ts';
import { makeFolder, openFileLedger, openKeyFile } from '../../store/node/index.ts';
import { formerKeys } from '../enrolment/index.ts';

/** Where a site's folder has its ledger and its key. */
export const ledgerFolder = (stateDir: string): string => join(stateDir, 'ledger');
export const siteKeyFile = (stateDir: string): string => join(stateDir, 'site.key');

/** Opens the ledger of a site's folder, and makes folder, key and ledger where they are not there. Throws DataError `bad-file`. */
export async function openSiteLedger(stateDir: string): Promise<Ledger> {
  await makeFolder(stateDir);
  return openFileLedger(ledgerFolder(stateDir), await openKeyFile(siteKeyFile(stateDir)), {
    formerKeys: await formerKeys(stateDir),
  });
}

/** Runs a session with its begin and its end in the ledger, if there is one. */
export async function recordedSession<T>(
  ledger: Ledger | undefined,
  about: { readonly study: string; readonly plan: string; readonly site: string; readonly server: string },
  run: () => Promise<T>,
): Promise<T> {
  if (!ledger) return run();
  const close = async (reason: string): Promise<void> => {
    ledger.append({ what: 'session-closed', study: about.study, reason });
    await ledger.sync();
  };
  ledger.append({ what: 'session-opened', ...about });
  let result: T;
  try {
    result = await run();
  } catch (error) {
    // Where the ledger cannot be written, that is what ended the session, and what is thrown.
    await close(codeOf(error));
    throw error;
  }
  await close('finished');
  return result;
}
