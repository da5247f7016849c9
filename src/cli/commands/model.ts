import type { Command } from 'commander';
import { wholeNumber } from '../options.ts';

export interface EvaluateFlags {
  readonly model: string;
  readonly data?: string;
  readonly site?: string;
  readonly split: string;
  readonly skipBad?: number;
  readonly json?: true;
}

export interface PredictFlags {
  readonly model: string;
  readonly data?: string;
  readonly site?: string;
  readonly out: string;
  readonly skipBad?: number;
  readonly force?: true;
}

export function addEvaluate(program: Command): void {
  program
    .command('evaluate')
    .summary('figures of a model on labelled records')
    .description(
      'Evaluates the model that a run left. On the run’s own data the figures are those of the run, by site.',
    )
    .requiredOption('--model <folder>', 'the folder of a run, or the model folder in it')
    .option('--data <path>', 'folder or file with labelled records')
    .option('--site <name>', 'one site’s records or model')
    .option('--split <parts>', 'train, val or test, several with commas', 'test')
    .option('--skip-bad <n>', 'go on although up to N records are bad, and say which', wholeNumber(0))
    .option('--json', 'print the metrics as JSON and nothing else on standard output')
    .addHelpText('after', '\nExample:\n  septum evaluate --model ./out --data ./covid-ct --split val,test')
    .action(async (flags: EvaluateFlags) => {
      const { evaluate } = await import('../evaluate.ts');
      process.exitCode = await evaluate(flags);
    });
}

export function addPredict(program: Command): void {
  program
    .command('predict')
    .summary('predictions of a model')
    .description(
      'Writes a CSV file with a prediction for each record, in the order of the data. Labels are not needed, nor is the id column of a table: rows then go by their numbers.',
    )
    .requiredOption('--model <folder>', 'the folder of a run, or the model folder in it')
    .option('--data <path>', 'folder or file with records')
    .option('--site <name>', 'whose model, where each site has its own')
    .requiredOption('--out <file>', 'the CSV file to write; - for standard output')
    .option('--skip-bad <n>', 'go on although up to N records are bad, and say which', wholeNumber(0))
    .option('--force', 'replace the file')
    .addHelpText('after', '\nExample:\n  septum predict --model ./out --data ./new-slices --out predictions.csv')
    .action(async (flags: PredictFlags) => {
      const { predict } = await import('../predict.ts');
      process.exitCode = await predict(flags);
    });
}
