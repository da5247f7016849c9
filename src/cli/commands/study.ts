import { Argument, type Command, Option } from 'commander';
import { wholeNumber } from '../options.ts';

export interface StudyNewFlags {
  readonly method?: string;
  readonly out?: string;
  readonly force?: true;
}

export interface StudyCheckFlags {
  readonly json?: true;
}

export interface StudyShowFlags {
  readonly seed?: number;
  readonly sites?: number;
}

export interface StudyListFlags {
  readonly state: string;
  readonly json?: true;
}

export function addStudy(program: Command): void {
  const study = program
    .command('study')
    .summary('write, check and show study files; list a server’s studies')
    .description('Writes, checks and shows study files, and lists the studies of a server.');
  study
    .command('new')
    .description('Writes a study file to start from, with comments.')
    .addArgument(new Argument('<case>').choices(['cholesterol', 'covid-ct', 'bone-xray']))
    .addOption(new Option('--method <method>', 'how the study is trained: septum, detached, …').default('septum'))
    .option('--out <file>', 'where to write it (default: standard output)')
    .option('--force', 'replace the file')
    .addHelpText('after', '\nExample:\n  septum study new covid-ct --method detached --out study.yaml')
    .action(async (name: string, flags: StudyNewFlags) => {
      const { newStudyFile } = await import('../study.ts');
      process.exitCode = await newStudyFile(name, flags);
    });
  study
    .command('check')
    .description('Says everything that is wrong with a study file, or what it means.')
    .argument('<file>', 'the study file')
    .option('--json', 'print the plan as JSON and nothing else on standard output')
    .addHelpText('after', '\nExample:\n  septum study check study.yaml')
    .action(async (file: string, flags: StudyCheckFlags) => {
      const { checkStudyFile } = await import('../study.ts');
      process.exitCode = await checkStudyFile(file, flags);
    });
  study
    .command('show')
    .description('Says in plain words what a study’s plan has a site send and learn, with the plan’s hash to approve.')
    .argument('<file>', 'the study file')
    .option('--seed <n>', 'seed, where the server has another than the study file', wholeNumber(0, 2 ** 32 - 1))
    .option('--sites <n>', 'number of sites, where the server has another', wholeNumber(1, 10_000))
    .addHelpText('after', '\nExample:\n  septum study show study.yaml')
    .action(async (file: string, flags: StudyShowFlags) => {
      const { showStudyFile } = await import('../study.ts');
      process.exitCode = await showStudyFile(file, flags);
    });
  study
    .command('list')
    .description(
      'Lists the studies of a server’s folder: state, epochs, sites and commits. The server may run meanwhile.',
    )
    .requiredOption('--state <folder>', 'the server’s folder')
    .option('--json', 'print one JSON object and nothing else on standard output')
    .addHelpText('after', '\nExample:\n  septum study list --state ./state')
    .action(async (flags: StudyListFlags) => {
      const { listStudies } = await import('../study-list.ts');
      process.exitCode = await listStudies(flags);
    });
}
