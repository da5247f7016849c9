// What a finished run says.

import type { RunResult } from '../study/index.ts';
import { bytesText, countText, durationText } from './amounts.ts';
import { figureLines } from './figures.ts';

/** Figures of the test part, and where everything is. */
export function tellResult(
  { metrics, planned, server, seconds }: Pick<RunResult, 'metrics' | 'planned' | 'server' | 'seconds'>,
  out: string,
): void {
  const { task } = planned.plan;
  const unit = task.kind === 'regression' ? task.unit : '';
  const lines: string[] = [];
  for (const part of ['test', 'val'] as const) {
    const split = metrics.splits[part];
    if (split) lines.push(...figureLines(part, split, unit));
  }
  const speed = metrics.samplesPerSecond === null ? '' : `, ${countText(metrics.samplesPerSecond)} samples/s`;
  lines.push(
    `epoch ${server.bestEpoch + 1} of ${server.history.length} selected; ${durationText(seconds)} in all, ${durationText(metrics.seconds)} of training${speed}; up ${bytesText(metrics.bytesUp)}, down ${bytesText(metrics.bytesDown)}`,
    `results: ${out}`,
  );
  process.stdout.write(`${lines.join('\n')}\n`);
}
