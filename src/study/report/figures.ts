// The tables of figures: overall, each site, and the models that they stand beside.

import type { ClassificationMetrics, Metrics, RegressionMetrics } from '../../metrics/index.ts';
import type { Plan } from '../../protocol/index.ts';
import { intervalBar } from './chart.ts';
import { isClassification, type ReportContent } from './content.ts';
import { type Html, html } from './html.ts';
import { count, decimals, digits } from './numbers.ts';

/** A table for each part: overall, each site, the baselines. */
export function figures({ plan, metrics, baselines = [] }: ReportContent): Html {
  const parts = (['test', 'val'] as const).flatMap((part) => {
    const split = metrics.splits[part];
    if (!split) return [];
    const rows: Row[] = [
      { name: 'overall', metrics: split.overall, kind: 'overall' },
      ...Object.entries(split.sites).map(([name, own]): Row => ({ name, metrics: own, kind: 'site' })),
      ...baselines.map((baseline): Row => ({
        name: baseline.name,
        metrics: baseline.splits[part] ?? null,
        kind: 'baseline',
      })),
    ];
    const title = part === 'test' ? 'Test' : 'Validation';
    const table = isClassification(split.overall) ? classificationTable(plan, rows) : regressionTable(plan, rows);
    return [html`<h2>${title} figures</h2>`, table, part === 'test' ? confusion(plan, split.overall) : null];
  });
  return html`<section>
    ${
      parts.length > 0
        ? parts
        : html`<h2>Figures</h2>
            <p>There are none: the run ended before its first validation.</p>`
    }
  </section>`;
}

interface Row {
  readonly name: string;
  readonly metrics: Metrics | null;
  readonly kind: 'overall' | 'site' | 'baseline';
}

function classificationTable({ task }: Plan, rows: readonly Row[]): Html {
  const known = rows.flatMap(({ metrics }) => (metrics ? [metrics as ClassificationMetrics] : []));
  const lows = known.flatMap(({ auc, aucLow }) => [auc ?? 1, aucLow ?? 1]);
  const low = Math.max(0, Math.floor(10 * Math.min(...lows)) / 10);
  const intervals = new Set(known.map(({ aucInterval }) => aucInterval));
  const sensitivity = task.kind === 'classification' && task.classes.length === 2;
  return html`<div class="wide">
      <table>
        <tr>
          <th></th>
          <th>records</th>
          <th>AUC</th>
          <th>95 % interval</th>
          <th class="text">${low < 1 ? `${decimals(low, 1)} … 1` : null}</th>
          <th>accuracy</th>
          ${
            sensitivity
              ? html`<th>sensitivity</th>
                  <th>specificity</th>`
              : null
          }
          <th>F1</th>
          <th>Brier</th>
          <th>ECE</th>
        </tr>
        ${rows.map(({ name, metrics, kind }) => {
          if (!metrics) return missingRow(name, kind, 9);
          const m = metrics as ClassificationMetrics;
          const interval = m.aucLow === null ? '–' : `${decimals(m.aucLow, 3)} – ${decimals(m.aucHigh, 3)}`;
          return html`<tr class="${kind}">
            <td>${name}</td>
            <td>${count(m.n)}</td>
            <td>${decimals(m.auc, 3)}</td>
            <td>${interval}</td>
            <td class="text">${low < 1 ? intervalBar(m.auc, [m.aucLow, m.aucHigh], low, 1) : null}</td>
            <td>${decimals(m.accuracy, 3)}</td>
            ${
              sensitivity
                ? html`<td>${decimals(m.sensitivity, 3)}</td>
                    <td>${decimals(m.specificity, 3)}</td>`
                : null
            }
            <td>${decimals(m.f1, 3)}</td>
            <td>${decimals(m.brier, 3)}</td>
            <td>${decimals(m.ece, 3)}</td>
          </tr>`;
        })}
      </table>
    </div>
    <p class="lead">
      ${
        task.kind === 'classification' && task.classes.length === 2
          ? `Positive is ${task.positive ?? task.classes[1] ?? ''}, from a probability of ${task.threshold}. `
          : 'AUC is the mean of each class against the rest. '
      }
      ${
        intervals.has('clustered')
          ? 'Intervals take records of one group (patient or case) together.'
          : intervals.has('unclustered')
            ? 'Intervals take every record for itself, for groups are not known where figures are put together.'
            : null
      }
    </p>`;
}

function regressionTable({ task }: Plan, rows: readonly Row[]): Html {
  const unit = task.kind === 'regression' ? task.unit : '';
  return html`<div class="wide">
    <table>
      <tr>
        <th></th>
        <th>records</th>
        <th>RMSE (${unit})</th>
        <th>MAE (${unit})</th>
        <th>R²</th>
        <th>RMSLE</th>
        <th>below zero</th>
        <th>loss</th>
      </tr>
      ${rows.map(({ name, metrics, kind }) => {
        if (!metrics) return missingRow(name, kind, 7);
        const m = metrics as RegressionMetrics;
        return html`<tr class="${kind}">
          <td>${name}</td>
          <td>${count(m.n)}</td>
          <td>${digits(m.rmse)}</td>
          <td>${digits(m.mae)}</td>
          <td>${decimals(m.r2, 3)}</td>
          <td>${decimals(m.rmsle, 4)}</td>
          <td>${count(m.nNegative)}</td>
          <td>${digits(m.loss)}</td>
        </tr>`;
      })}
    </table>
  </div>`;
}

function missingRow(name: string, kind: Row['kind'], columns: number): Html {
  const why = kind === 'baseline' ? 'not computed' : 'too few records of a class to report';
  return html`<tr class="${kind}">
    <td>${name}</td>
    <td class="words" colspan="${columns}">${why}</td>
  </tr>`;
}

function confusion({ task }: Plan, metrics: Metrics): Html | null {
  if (!isClassification(metrics) || task.kind !== 'classification' || metrics.confusion.length === 0) return null;
  if (task.classes.length > 12) return null;
  return html`<div class="wide">
    <table style="width: auto">
      <tr>
        <th class="text">is \\ decided</th>
        ${task.classes.map((name) => html`<th>${name}</th>`)}
      </tr>
      ${metrics.confusion.map(
        (row, index) =>
          html`<tr>
            <td>${task.classes[index]}</td>
            ${row.map((cell) => html`<td>${count(cell)}</td>`)}
          </tr>`,
      )}
    </table>
  </div>`;
}
