import type { Command } from 'commander';

export interface LedgerShowFlags {
  readonly state: string;
  readonly json?: true;
}

export interface LedgerVerifyFlags {
  readonly state: string;
  readonly key?: string;
  readonly noted?: string;
}

export function addLedger(program: Command): void {
  const ledger = program
    .command('ledger')
    .summary('what has left a site')
    .description('Shows and checks the ledger in which a site records every message before it leaves.');
  ledger
    .command('show')
    .description('Sums up what has left, by day and kind of message, and what else the ledger tells.')
    .requiredOption('--state <folder>', 'the site’s folder')
    .option('--json', 'print one JSON object and nothing else on standard output')
    .addHelpText('after', '\nExample:\n  septum ledger show --state ./site-1')
    .action(async (flags: LedgerShowFlags) => {
      const { showLedger } = await import('../ledger.ts');
      process.exitCode = await showLedger(flags);
    });
  ledger
    .command('verify')
    .description('Says whether the ledger is as it was written, or names the first entry that is wrong.')
    .requiredOption('--state <folder>', 'the site’s folder')
    .option('--key <key>', 'the site’s public key: a file (PEM or hexadecimal) or its 64 digits (default: site.key)')
    .option('--noted <hash>', 'the hash that an earlier check said: its entry must still be there')
    .addHelpText('after', '\nExample:\n  septum ledger verify --state ./site-1')
    .action(async (flags: LedgerVerifyFlags) => {
      const { checkLedger } = await import('../ledger.ts');
      process.exitCode = await checkLedger(flags);
    });
}
