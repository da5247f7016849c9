import type { Command } from 'commander';
import { address, hours } from '../options.ts';

export interface InviteFlags {
  readonly state: string;
  readonly study?: string;
  readonly address?: string;
  readonly expires: number;
}

export interface RevokeFlags {
  readonly state: string;
  readonly study?: string;
}

export interface JoinFlags {
  readonly state: string;
  readonly proxy?: string;
}

export interface WithdrawFlags {
  readonly state: string;
  readonly proxy?: string;
}

export function addInvite(program: Command): void {
  program
    .command('invite')
    .summary('invite a site into a study')
    .description(
      'Prints an invite for a site of the study: one string, which is a secret and serves once. Give it to the site’s operator on a way that you trust, and compare the fingerprint by another. An invite for a site that has joined gives it a new key.',
    )
    .argument('<site>', 'the site’s name in the study')
    .requiredOption('--state <folder>', 'the server’s folder')
    .option('--study <name>', 'which study, where the folder has several')
    .option('--address <host:port>', 'where the site reaches the server (default: where the server listens)', address)
    .option('--expires <hours>', 'how long the invite may be used', hours, 72)
    .addHelpText(
      'after',
      `
Example:
  septum invite site-1 --state ./state --address study.example.org:7700 > invite.txt`,
    )
    .action(async (site: string, flags: InviteFlags) => {
      const { invite } = await import('../enrolment.ts');
      process.exitCode = await invite(site, flags);
    });
}

export function addRevoke(program: Command): void {
  program
    .command('revoke')
    .summary('take a site’s key away')
    .description(
      'Takes a site’s key and its open invites away. A server that runs ends the site’s connection within a second and lets it in no more, until it joins with another invite.',
    )
    .argument('<site>', 'the site’s name in the study')
    .requiredOption('--state <folder>', 'the server’s folder')
    .option('--study <name>', 'which study, where the folder has several')
    .action(async (site: string, flags: RevokeFlags) => {
      const { revoke } = await import('../enrolment.ts');
      process.exitCode = await revoke(site, flags);
    });
}

export function addJoin(program: Command): void {
  program
    .command('join')
    .summary('become a site of a study, by an invite')
    .description(
      'Makes this site’s key, which never leaves --state, and enrols it with the invite. Where the site has joined already, its key is replaced, also while it takes part.',
    )
    .argument('[invite]', 'file with the invite, or - for standard input (default: it is asked for)')
    .requiredOption(
      '--state <folder>',
      'where the site keeps its key and what it knows of the server; for this user only',
    )
    .option('--proxy <url>', 'HTTP proxy on the way to the server (default: HTTPS_PROXY of the environment, if any)')
    .addHelpText(
      'after',
      `
Example:
  septum join invite.txt --state ./septum`,
    )
    .action(async (file: string | undefined, flags: JoinFlags) => {
      const { join } = await import('../enrolment.ts');
      process.exitCode = await join(file, flags);
    });
}

export function addWithdraw(program: Command): void {
  program
    .command('withdraw')
    .summary('take no further part in a study, for good')
    .description(
      'Withdraws this site from a study: septum site takes no part in it from here on, the ledger says so, and the server is told. A site that takes part is to be ended first. What has left the site before stays where it is.',
    )
    .argument('<study>', 'the study’s name')
    .requiredOption('--state <folder>', 'the site’s folder')
    .option('--proxy <url>', 'HTTP proxy on the way to the server (default: HTTPS_PROXY of the environment, if any)')
    .addHelpText('after', '\nExample:\n  septum withdraw lipids --state ./septum')
    .action(async (study: string, flags: WithdrawFlags) => {
      const { withdraw } = await import('../enrolment.ts');
      process.exitCode = await withdraw(study, flags);
    });
}
