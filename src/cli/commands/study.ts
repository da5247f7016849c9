import { Argument, type Command, Option } from 'commander';

export interface StudyNewFlags {
  readonly method?: string;
  readonly out?: string;
  readonly force?: true;
}

export interface StudyCheckFlags {
  readonly json?: true;
}

export function addStudy(program: Command): void {
  const study = program
    .command('study')
    .summary('write and check study files')
    .description('Writes and checks study files.');
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
}
