// Before a site takes part its operator has approved the plan: on the terminal, by its hash on the command line, or earlier.

import { createInterface } from 'node:readline/promises';
import { ConfigError, SeptumError } from '../base/index.ts';
import { type Plan, planHash } from '../protocol/index.ts';
import type { Ledger } from '../store/index.ts';
import { isApproved, rememberApproved } from '../study/index.ts';
import { planInWords } from './plan-words.ts';
import type { Screen } from './screen.ts';

export interface ApprovalOptions {
  readonly plan: Plan;
  /** The hash from the command line, or the first 12 digits of it or more. */
  readonly approve: string | undefined;
  /** Where approvals are remembered; without it they are not. */
  readonly stateDir: string | undefined;
  readonly ledger: Ledger | undefined;
  readonly screen: Screen;
  readonly signal: AbortSignal;
}

/** The least digits of a hash that name a plan. */
const digitsLeast = 12;

/**
 * Shows the plan and has it approved, and enters that into the ledger. Throws ConfigError `bad-usage` when the hash on the command line is
 * another plan's, or nobody can be asked; SeptumError `not-approved` when the operator says no; the signal's reason.
 */
export async function approvePlan(options: ApprovalOptions): Promise<void> {
  const { plan, stateDir, ledger, screen } = options;
  for (const line of planInWords(plan)) screen.line(line);
  const hash = planHash(plan);
  const how = await approval(options, hash);
  if (stateDir !== undefined) await rememberApproved(stateDir, plan.study, hash);
  ledger?.append({ what: 'approved', study: plan.study, plan: hash, how });
  await ledger?.sync();
}

async function approval(
  { plan, approve, stateDir, signal }: ApprovalOptions,
  hash: string,
): Promise<'flag' | 'remembered' | 'asked'> {
  if (approve !== undefined) {
    const digits = approve.toLowerCase();
    if (!/^[0-9a-f]+$/.test(digits) || digits.length < digitsLeast || digits.length > hash.length)
      throw new ConfigError(
        'bad-usage',
        `--approve ${approve}: expected the hash of the plan, ${digitsLeast} to ${hash.length} hexadecimal digits`,
      );
    if (!hash.startsWith(digits))
      throw new ConfigError('bad-usage', `--approve ${approve}: this study’s plan is another one, ${hash}`);
    return 'flag';
  }
  if (stateDir !== undefined && (await isApproved(stateDir, hash))) return 'remembered';
  if (!process.stdin.isTTY)
    throw new ConfigError(
      'bad-usage',
      `the plan above is not approved, and there is no terminal to ask at; to approve it give --approve ${hash}`,
    );
  if (await asked(signal)) return 'asked';
  throw new SeptumError('not-approved', `the plan of study ${plan.study} was not approved; nothing has left this site`);
}

async function asked(signal: AbortSignal): Promise<boolean> {
  // Not as a terminal: Ctrl-C is then a signal like any other. The end of the input is a no.
  const terminal = createInterface({ input: process.stdin, output: process.stderr, terminal: false });
  const ended = new Promise<string>((resolve) => terminal.once('close', () => resolve('')));
  try {
    const answer = await Promise.race([terminal.question('take part? [y/N] ', { signal }), ended]);
    return /^y(es)?$/i.test(answer.trim());
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    terminal.close();
  }
}
