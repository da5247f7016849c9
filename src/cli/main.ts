#!/usr/bin/env node
// The command line. What a command needs is loaded when it runs, so that help is there at once.

import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { addBench } from './commands/bench.ts';
import { addDemo } from './commands/demo.ts';
import { addLedger } from './commands/ledger.ts';
import { addEvaluate, addPredict } from './commands/model.ts';
import { addInvite, addJoin, addRevoke, addWithdraw } from './commands/enrolment.ts';
import { addPause, addResume, addStop } from './commands/orders.ts';
import { addRun } from './commands/run.ts';
import { addServer } from './commands/server.ts';
import { addSite } from './commands/site.ts';
import { addStudy } from './commands/study.ts';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const program = new Command('septum')
  .description('Hospitals train one neural network together; no record leaves any of them.')
  .version(version)
  .showSuggestionAfterError()
  .showHelpAfterError('(septum --help says more)')
  .configureHelp({ showGlobalOptions: false })
  .exitOverride();
const commands = [
  addDemo,
  addStudy,
  addRun,
  addServer,
  addInvite,
  addRevoke,
  addPause,
  addResume,
  addStop,
  addJoin,
  addSite,
  addWithdraw,
  addLedger,
  addEvaluate,
  addPredict,
];
for (const add of [...commands, addBench]) add(program);

// A reader that has seen enough, such as `head`, or a terminal that is gone ends what is told, and not the work.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
  });

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else process.exitCode = (await import('./exit.ts')).fail(error);
}
