import { type Command, Option } from 'commander';
import type { Provider } from '../../engine/index.ts';
import { hostAndPort, providerOption, ratio, seconds, wholeNumber } from '../options.ts';

export interface ServerFlags {
  readonly study: string[];
  readonly state: string;
  readonly listen?: { readonly host: string; readonly port: number };
  readonly insecure?: true;
  readonly cert?: string;
  readonly key?: string;
  readonly mutualTls?: true;
  readonly seed?: number;
  readonly sites?: number;
  readonly threads?: number;
  readonly provider?: Provider;
  readonly timeout?: number;
  readonly commitEvery?: number;
  readonly handOver?: string;
  readonly timeSteps?: number[];
  readonly profileTo?: string;
  readonly profileSteps?: number[];
}

export function addServer(program: Command): void {
  program
    .command('server')
    .summary('the coordinating centre of one study or several')
    .description(
      'Serves studies to their sites, over TLS 1.3, until the last is over. A site comes in by an invite (septum invite), and from then on by its own key. The server’s identity key is made at the first start; keep --state private and backed up.',
    )
    .requiredOption('--state <folder>', 'where the server keeps its identity, its sites, commits and results')
    .option(
      '--study <file>',
      'a study file; may be given again for further studies (default: the studies of --state that are not over)',
      (file: string, files: string[]) => [...files, file],
      [],
    )
    .option('--listen <host:port>', 'address to listen on (default: 127.0.0.1 and a free port)', hostAndPort)
    .option(
      '--insecure',
      'without TLS and keys: any process of this machine is whichever site it says it is; loopback only',
    )
    .option('--cert <file>', 'TLS certificate to show, PEM (default: one of the identity’s own, renewed every day)')
    .option('--key <file>', 'the certificate’s private key, PEM')
    .option(
      '--mutual-tls',
      'sites must show their key in the TLS handshake as well: whoever has no site’s key and no invite is cut off there',
    )
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
    .addOption(new Option('--commit-every <seconds>').hideHelp().argParser(seconds))
    .addOption(new Option('--time-steps <from:to>').hideHelp().argParser(ratio))
    .addOption(new Option('--profile-to <folder>').hideHelp())
    .addOption(new Option('--profile-steps <from:to>').hideHelp().argParser(ratio))
    .addHelpText(
      'after',
      `
Example:
  septum server --state ./state --study study.yaml --listen 0.0.0.0:7700
  septum invite site-1 --state ./state --address study.example.org:7700

Two studies by one server:
  septum server --state ./state --study lipids.yaml --study bones.yaml --listen 0.0.0.0:7700

On one machine, without keys:
  septum server --state ./state --study study.yaml --listen 127.0.0.1:7700 --insecure
  septum site --server ws://127.0.0.1:7700 --name site-1 --study study.yaml --data ./records`,
    )
    .action(async (flags: ServerFlags) => {
      const { server } = await import('../server.ts');
      process.exitCode = await server(flags);
    });
}
