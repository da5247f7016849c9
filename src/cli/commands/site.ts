import { type Command, Option } from 'commander';
import type { Provider } from '../../engine/index.ts';
import { providerOption, ratio, seconds, wholeNumber } from '../options.ts';

export interface SiteFlags {
  readonly server?: string;
  readonly name?: string;
  readonly study?: string;
  readonly data: string;
  readonly state?: string;
  readonly approve?: string;
  readonly proxy?: string;
  readonly seed?: number;
  readonly sites?: number;
  readonly threads?: number;
  readonly provider?: Provider;
  readonly timeout?: number;
  readonly skipBad?: number;
  readonly manifest?: string;
  readonly handOver?: string;
  readonly ledger?: string;
  readonly timeSteps?: number[];
  readonly profileTo?: string;
  readonly profileSteps?: number[];
  readonly randomRecords?: number;
}

export function addSite(program: Command): void {
  program
    .command('site')
    .summary('a hospital’s side of a study')
    .description(
      'Takes part in a study with the records of this site, once its operator has approved the plan: the one that it has joined with septum join, or without keys one on this machine (--server).',
    )
    .requiredOption('--data <path>', 'folder or file with this site’s records')
    .option('--state <folder>', 'where the site has joined, and keeps commits, its model and the ledger of what left')
    .option('--approve <hash>', 'approves the plan of this hash (septum study show says it) instead of asking')
    .option(
      '--study <study>',
      'the study file, the same as the server’s, or the name of a study that the site has joined, whose study.yaml is in its folder (default: study.yaml in --state)',
    )
    .option('--proxy <url>', 'HTTP proxy on the way to the server (default: HTTPS_PROXY of the environment, if any)')
    .option('--server <url>', 'without keys: the address of a server on this machine, like ws://127.0.0.1:7700')
    .option('--name <site>', 'with --server: this site’s name in the study')
    .option('--seed <n>', 'seed, where the server has another than the study file', wholeNumber(0, 2 ** 32 - 1))
    .option('--sites <n>', 'number of sites, where the server has another', wholeNumber(1, 10_000))
    .option('--threads <n>', 'threads of the engine (default: 1)', wholeNumber(1, 1024))
    .addOption(providerOption())
    .option('--timeout <seconds>', 'how long the site tries to reach a server that is lost (default: 60)', seconds)
    .option('--skip-bad <n>', 'go on although up to N records are bad, and say which', wholeNumber(0))
    .addOption(new Option('--manifest <file>').hideHelp())
    .addOption(new Option('--hand-over <folder>').hideHelp())
    .addOption(new Option('--ledger <folder>').hideHelp())
    .addOption(new Option('--time-steps <from:to>').hideHelp().argParser(ratio))
    .addOption(new Option('--profile-to <folder>').hideHelp())
    .addOption(new Option('--profile-steps <from:to>').hideHelp().argParser(ratio))
    .addOption(new Option('--random-records <n>').hideHelp().argParser(wholeNumber(1)))
    .addHelpText(
      'after',
      `
Example:
  septum join invite.txt --state ./septum
  septum site --state ./septum --study study.yaml --data ./records

On the server’s machine, without keys:
  septum site --server ws://127.0.0.1:7700 --name site-1 --study study.yaml --data ./records`,
    )
    .action(async (flags: SiteFlags) => {
      const { site } = await import('../site.ts');
      process.exitCode = await site(flags);
    });
}
