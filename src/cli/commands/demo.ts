import type { Command } from 'commander';
import { Option } from 'commander';
import { ratio, wholeNumber } from '../options.ts';

export interface DemoFlags {
  readonly case: 'cholesterol' | 'covid-ct' | 'bone-xray';
  readonly sites?: number;
  readonly ratio?: number[];
  readonly out?: string;
  readonly quick?: true;
  readonly force?: true;
  readonly json?: true;
}

export function addDemo(program: Command): void {
  program
    .command('demo')
    .summary('watch a study on synthetic records')
    .description(
      'Trains a network at a server and several sites, each a process of its own, on SYNTHETIC records, with a linear baseline beside it. Takes up to two minutes.',
    )
    .addOption(
      new Option('--case <case>', 'what is learnt')
        .choices(['cholesterol', 'covid-ct', 'bone-xray'])
        .default('cholesterol'),
    )
    .option('--sites <n>', 'number of sites (default: 3)', wholeNumber(1, 100))
    .option('--ratio <a:b:c>', 'shares of the sites (default: 7:2:1)', ratio)
    .option('--out <folder>', 'where the demo leaves its results (default: septum-demo-CASE)')
    .option('--quick', 'fewer records and steps: up to one minute')
    .option('--force', 'replace what an earlier run left in the folder')
    .option('--json', 'print metrics, baseline and folder as one JSON object, and nothing else, on standard output')
    .addHelpText('after', '\nExample:\n  septum demo --case covid-ct --sites 5 --ratio 6:1:1:1:1')
    .action(async (flags: DemoFlags) => {
      const { demo } = await import('../demo.ts');
      process.exitCode = await demo(flags);
    });
}
