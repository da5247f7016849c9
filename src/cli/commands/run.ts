import { type Command, Option } from 'commander';
import { ratio, seconds, wholeNumber } from '../options.ts';

interface RunFlags {
  readonly data?: string;
  readonly sites?: number;
  readonly ratio?: number[];
  readonly out?: string;
  readonly seed?: number;
  readonly force?: true;
  readonly resume?: true;
  readonly skipBad?: number;
  readonly serverThreads?: number;
  readonly timeout?: number;
  readonly profile?: true;
  readonly json?: true;
}

export function addRun(program: Command): void {
  program
    .command('run')
    .summary('run a whole study on this machine')
    .description('Runs a study on this machine: a server and its sites, each a process of its own, over loopback.')
    .argument('<study>', 'the study file')
    .option('--data <path>', 'folder or file with the records of all sites; they are dealt among the sites')
    .option(
      '--sites <n>',
      'number of sites, instead of the study file’s; where its shares are unequal, add --ratio',
      wholeNumber(1, 10_000),
    )
    .option('--ratio <a:b:c>', 'shares of the sites, instead of the study file’s', ratio)
    .option('--out <folder>', 'where the run leaves its results (default: septum-run-STUDY-SEED)')
    .option('--seed <n>', 'seed, instead of the study file’s', wholeNumber(0, 2 ** 32 - 1))
    .option('--skip-bad <n>', 'go on although up to N records are bad, and say which', wholeNumber(0))
    .option('--server-threads <n>', 'threads of the server’s engine (default: all cores)', wholeNumber(1, 1024))
    .option(
      '--timeout <seconds>',
      'how long the study waits for a site that is lost (default: 60), and if above 600 for one that is silent',
      seconds,
    )
    .option('--profile', 'also say where the time of 40 steps goes, and leave profile.json, a Chrome trace of them')
    .option('--json', 'print the run’s metrics.json and nothing else on standard output')
    .addOption(new Option('--force', 'replace what an earlier run left in the folder').conflicts('resume'))
    .option('--resume', 'go on with a run that ended early in the folder, from its newest commit')
    .addHelpText(
      'after',
      `
Examples:
  septum run study.yaml --data ./covid-ct
  septum run study.yaml --data ./lipids.csv --sites 5 --ratio 6:1:1:1:1 --seed 2 --out ./out`,
    )
    .action(async (study: string, flags: RunFlags) => {
      const { run } = await import('../run.ts');
      process.exitCode = await run(study, flags);
    });
}

export type { RunFlags };
