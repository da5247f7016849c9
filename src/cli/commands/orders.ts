import type { Command } from 'commander';

export interface OrderFlags {
  readonly state: string;
}

export function addPause(program: Command): void {
  addOrder(program, 'pause', {
    summary: 'have a study stand still',
    description:
      'Has a study stand still after its next commit, until septum resume. Its sites stay connected and wait. Without a server it takes effect when one is started.',
  });
}

export function addResume(program: Command): void {
  addOrder(program, 'resume', {
    summary: 'have a study that was paused go on',
    description: 'Has a study that was paused go on where it stands.',
  });
}

export function addStop(program: Command): void {
  addOrder(program, 'stop', {
    summary: 'end a study with what it has',
    description:
      'Ends a study before its last epoch: it goes back to its newest commit and hands over the best model so far. It cannot be begun again.',
  });
}

function addOrder(
  program: Command,
  order: 'pause' | 'resume' | 'stop',
  { summary, description }: { readonly summary: string; readonly description: string },
): void {
  program
    .command(order)
    .summary(summary)
    .description(description)
    .argument('<study>', 'the study’s name')
    .requiredOption('--state <folder>', 'the server’s folder')
    .addHelpText('after', `\nExample:\n  septum ${order} lipids --state ./state`)
    .action(async (study: string, flags: OrderFlags) => {
      const orders = await import('../orders.ts');
      process.exitCode = await orders.order(order, study, flags);
    });
}
