import { type Command, Option } from 'commander';
import type { Provider } from '../../engine/index.ts';
import { providerOption, seconds, wholeNumber } from '../options.ts';

export interface BenchFlags {
  readonly network: string;
  readonly sites: number;
  readonly batch: number;
  readonly segments: 'private' | 'mirrored' | 'average';
  readonly optimizer: 'sgd' | 'adam';
  readonly steps?: number;
  readonly warmUp?: number;
  readonly serverThreads?: number;
  readonly provider?: Provider;
  readonly tls?: true;
  readonly ledger?: true;
  /** Milliseconds between two commits; true: as often as is usual for a bench. */
  readonly commits?: number | true;
  readonly profile?: string | true;
  readonly json?: true;
  readonly splitOnly?: true;
  readonly uncutOnly?: true;
}

export interface BenchUncutFlags {
  readonly study: string;
  readonly provider?: Provider;
  readonly warmUp: number;
  readonly steps: number;
}

export function addBench(program: Command): void {
  program
    .command('bench')
    .summary('speed on this machine')
    .description(
      'Trains on random records with the processes of a run and says how fast they are, beside the same with mirrored segments and the uncut network in one process.',
    )
    .option('--network <name>', 'lipid-mlp (7 inputs), ct-cnn (no dropout), vgg19-64, …', 'ct-cnn')
    .option('--sites <n>', 'number of sites', wholeNumber(1, 1000), 3)
    .option('--batch <n>', 'records a site gives to a step', wholeNumber(1, 100_000), 32)
    .addOption(
      new Option('--segments <how>', 'how the sites’ segments relate')
        .choices(['private', 'mirrored', 'average'])
        .default('private'),
    )
    .addOption(
      new Option('--optimizer <kind>', 'sgd with momentum 0.9, or adam').choices(['sgd', 'adam']).default('sgd'),
    )
    .option('--steps <n>', 'steps that are timed (default: by the network’s size)', wholeNumber(2, 1_000_000))
    .option('--warm-up <n>', 'steps before them (default: by the network’s size)', wholeNumber(1, 1_000_000))
    .option('--server-threads <n>', 'threads of the server’s engine (default: all cores)', wholeNumber(1, 1024))
    .addOption(providerOption())
    .option('--tls', 'sites join by invites and speak over TLS, as between hospitals')
    .option('--ledger', 'each site keeps its ledger of what leaves')
    .option(
      '--commits [seconds]',
      'server and sites write commits while the steps are timed, to the system’s folder for temporary files, every 5 s unless told (a run: every 60 s); says how many there were',
      seconds,
    )
    .option(
      '--profile [file]',
      'only the split, recorded, which slows it down: where the time of its steps goes, and a Chrome trace of them (default: septum-profile.json)',
    )
    .addOption(new Option('--split-only').hideHelp())
    .addOption(new Option('--uncut-only').hideHelp())
    .option('--json', 'print one JSON object and nothing else on standard output')
    .addHelpText('after', '\nExample:\n  septum bench --network vgg19-64 --sites 3 --batch 32 --json')
    .action(async (flags: BenchFlags) => {
      const { bench } = await import('../bench.ts');
      process.exitCode = await bench(flags);
    });
  program
    .command('bench-uncut', { hidden: true })
    .requiredOption('--study <file>')
    .addOption(providerOption())
    .requiredOption('--warm-up <n>', '', wholeNumber(1))
    .requiredOption('--steps <n>', '', wholeNumber(1))
    .action(async (flags: BenchUncutFlags) => {
      const { benchUncut } = await import('../bench.ts');
      process.exitCode = await benchUncut(flags);
    });
}
