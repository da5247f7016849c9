import { type Command, Option } from 'commander';
import type { Provider } from '../../engine/index.ts';
import { hostAndPort, providerOption, ratio, seconds, wholeNumber } from '../options.ts';

export interface ServerFlags {
  readonly study: string;
  readonly state: string;
  readonly listen?: { readonly host: string; readonly port: number };
  readonly seed?: number;
  readonly sites?: number;
  readonly threads?: number;
  readonly provider?: Provider;
  readonly timeout?: number;
  readonly handOver?: string;
  readonly timeSteps?: number[];
  readonly profileTo?: string;
  readonly profileSteps?: number[];
}

export function addServer(program: Command): void {
  program
    .command('server')
    .summary('the coordinating centre of a study')
    .description(
      'Serves a study to its sites. Sites cannot be enrolled in this version, so it listens on this machine only (loopback).',
    )
    .requiredOption('--state <folder>', 'where the server keeps commits and leaves the results')
    .requiredOption('--study <file>', 'the study file')
    .option('--listen <host:port>', 'loopback address to listen on (default: 127.0.0.1 and a free port)', hostAndPort)
    .option('--seed <n>', 'seed, instead of the study file’s; sites need the same', wholeNumber(0, 2 ** 32 - 1))
    .option('--sites <n>', 'number of sites, instead of the study file’s', wholeNumber(1, 10_000))
    .option('--threads <n>', 'threads of the engine (default: all cores)', wholeNumber(1, 1024))
    .addOption(providerOption())
    .option(
      '--timeout <seconds>',
      'how long the study waits for a site that is lost (default: 60), and if above 600 for one that is silent; it waits without end for one that has not come yet',
      seconds,
    )
    .addOption(new Option('--hand-over <folder>').hideHelp())
    .addOption(new Option('--time-steps <from:to>').hideHelp().argParser(ratio))
    .addOption(new Option('--profile-to <folder>').hideHelp())
    .addOption(new Option('--profile-steps <from:to>').hideHelp().argParser(ratio))
    .addHelpText(
      'after',
      `
Example, with one site in another terminal:
  septum server --state ./state --study study.yaml --listen 127.0.0.1:7700
  septum site --server ws://127.0.0.1:7700 --name site-1 --study study.yaml --data ./records`,
    )
    .action(async (flags: ServerFlags) => {
      const { server } = await import('../server.ts');
      process.exitCode = await server(flags);
    });
}
