// Metrics as a small table.

import type { Metrics } from '../metrics/index.ts';
import type { SplitMetrics } from '../study/index.ts';
import { figureText } from './amounts.ts';

/** A part's figures, a line for all sites together and one for each. `unit` is the regression target's. */
export function figureLines(part: string, split: SplitMetrics, unit = ''): string[] {
  const rows = [['all', split.overall] as const, ...Object.entries(split.sites)];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(
    ([name, metrics]) => `${part}  ${name.padEnd(width)}  ${metrics ? figures(metrics, unit) : 'not reported'}`,
  );
}

function figures(metrics: Metrics, unit: string): string {
  if ('rmse' in metrics) {
    const { n, rmse, mae, r2 } = metrics;
    const of = unit === '' ? '' : ` ${unit}`;
    return `n ${n}  RMSE ${figureText(rmse)}${of}  MAE ${figureText(mae)}${of}  R2 ${figureText(r2)}`;
  }
  const { n, auc, aucLow, aucHigh, accuracy, sensitivity, specificity } = metrics;
  const interval = aucLow === null ? '' : ` (${figureText(aucLow)} to ${figureText(aucHigh)})`;
  return `n ${n}  AUC ${figureText(auc)}${interval}  accuracy ${figureText(accuracy)}  sensitivity ${figureText(sensitivity)}  specificity ${figureText(specificity)}`;
}
