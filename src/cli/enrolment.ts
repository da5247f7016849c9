// `septum invite`, `septum revoke`, `septum join` and `septum withdraw`.

import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import { ConfigError, messageOf } from '../base/index.ts';
import {
  fingerprint,
  inviteSite,
  joinStudy,
  looksLikeInvite,
  proxyFor,
  readInvite,
  revokeSite,
  withdrawFromStudy,
} from '../study/index.ts';
import type { InviteFlags, JoinFlags, RevokeFlags, WithdrawFlags } from './commands/enrolment.ts';
import { fail, interruption } from './exit.ts';
import { Screen } from './screen.ts';

/** Prints the invite alone on standard output, and what there is to say of it on standard error. */
export async function invite(site: string, { state, study, address, expires }: InviteFlags): Promise<number> {
  try {
    const made = await inviteSite(state, { site, study, address, validMs: expires * 3_600_000 });
    process.stdout.write(`${made.text}\n`);
    const screen = new Screen();
    screen.line(
      `invite for ${site} into study ${made.study} at ${made.address}; it serves once, within ${expires} hours`,
    );
    screen.line(`the server’s identity, to be compared by another way: ${made.fingerprint}`);
    return 0;
  } catch (error) {
    return fail(error);
  }
}

export async function revoke(site: string, { state, study }: RevokeFlags): Promise<number> {
  try {
    const had = await revokeSite(state, { site, study });
    new Screen().line(
      had ? `${site} is revoked` : `${site} has neither a key nor an invite: there is nothing to revoke`,
    );
    return 0;
  } catch (error) {
    return fail(error);
  }
}

export async function join(file: string | undefined, { state, proxy }: JoinFlags): Promise<number> {
  const screen = new Screen();
  try {
    const read = readInvite(await inviteText(file));
    screen.line(`invited as ${read.site} into study ${read.study} at ${read.address}`);
    screen.line(
      `the server’s identity, to be compared with what the coordinating centre says: ${fingerprint(read.identity)}`,
    );
    const place = await joinStudy(state, read, {
      proxy: proxyFor(`wss://${read.address}`, proxy),
      signal: interruption(),
    });
    screen.line(
      `${read.site} has joined; its key is in ${place} and never leaves it. Put the study file, which the coordinating centre has, beside it as study.yaml, and take part with: septum site --state ${state} ${place === state ? '' : `--study ${read.study} `}--data PATH`,
    );
    return 0;
  } catch (error) {
    return fail(error);
  }
}

export async function withdraw(study: string, { state, proxy }: WithdrawFlags): Promise<number> {
  const screen = new Screen();
  let noted = false;
  try {
    await withdrawFromStudy(state, study, {
      proxy,
      signal: interruption(),
      onNoted: (site, place) => {
        noted = true;
        screen.line(`${site} takes no further part in study ${study}: it is noted in ${place}`);
      },
    });
    screen.line('the server knows it');
    return 0;
  } catch (error) {
    if (noted) screen.line('the server has not confirmed it: use the same command again to tell it');
    return fail(error);
  }
}

/** The invite's text. It is not taken from the command line, which every user of the machine may read. */
async function inviteText(file: string | undefined): Promise<string> {
  if (file !== undefined && looksLikeInvite(file))
    throw new ConfigError(
      'bad-usage',
      'the invite stands on the command line, where others may have read it: have it revoked, and give the next one in a file or to the prompt',
    );
  if (file !== undefined && file !== '-')
    return readFile(file, 'utf8').catch((cause: unknown) => {
      throw new ConfigError('bad-usage', `${file}: cannot be read: ${messageOf(cause)}`, { cause });
    });
  const { stdin, stderr } = process;
  if (file === undefined && !stdin.isTTY)
    throw new ConfigError(
      'bad-usage',
      'no terminal to ask for the invite: give a file that holds it, or - for standard input',
    );
  const lines = createInterface({ input: stdin, ...(stdin.isTTY && { output: stderr }) });
  try {
    if (stdin.isTTY) return await lines.question('invite: ');
    let text = '';
    for await (const line of lines) {
      text += line;
      if (text.length > inviteLengthMost) break; // Whatever it is, it is no invite.
    }
    return text;
  } finally {
    lines.close();
  }
}

const inviteLengthMost = 65_536;
