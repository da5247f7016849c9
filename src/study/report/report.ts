// report.html: what a run was, what it reached and what left the sites, in one file that needs nothing from elsewhere.

import { isClassification, type ReportContent } from './content.ts';
import { figures } from './figures.ts';
import { Html, html } from './html.ts';
import { bytes, decimals, digits, duration } from './numbers.ts';
import { curves, leaving, sites, strip, time, whatRan } from './sections.ts';
import { style } from './style.ts';

/** The whole page. */
export function reportHtml(content: ReportContent): string {
  const { plan, metrics, synthetic, stopped, remarks } = content;
  const { task } = plan;
  const predicts =
    task.kind === 'classification'
      ? task.classes.length === 2
        ? `${task.positive ?? task.classes[1] ?? ''} against ${task.classes.find((name) => name !== task.positive) ?? ''}`
        : task.classes.join(', ')
      : `${task.target} in ${task.unit}`;
  const notes = [
    ...(stopped === undefined ? [] : [`The run did not reach its end: ${stopped}`]),
    ...(synthetic
      ? ['SYNTHETIC data: no real patient is in these records, and no figure here says anything about one.']
      : []),
    ...remarks,
  ];
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${plan.study} · Septum</title>
        <style>
          ${new Html(style)}
        </style>
      </head>
      <body>
        <header>
          <h1>${plan.study}</h1>
          <p class="lead">
            ${plan.network.name} predicts ${predicts}, trained across ${plan.sites.length}
            ${plan.sites.length === 1 ? 'site' : 'sites'}.
            <span class="tag">${metrics.method ?? 'own choices'}</span> <span class="tag">seed ${plan.seed}</span>
            ${synthetic ? html`<span class="tag synthetic">SYNTHETIC data</span>` : null}
          </p>
          ${cards(content)}
          ${notes.length > 0 ? html`<div class="note">${notes.map((note) => html`<p>${note}</p>`)}</div>` : null}
        </header>
        ${figures(content)} ${curves(content)} ${strip(content)} ${whatRan(content)} ${sites(content)}
        ${leaving(content)} ${time(content)}
        <footer>
          <p>
            Septum ${content.versions['septum'] ?? ''},
            ${Object.entries(content.versions)
              .filter(([name]) => name !== 'septum')
              .map(([name, version]) => `${name} ${version}`)
              .join(', ')}.
            Not for clinical use.
          </p>
        </footer>
      </body>
    </html> `;
  return `${page.text.trim()}\n`;
}

/** The figures that matter most, large. */
function cards({ plan, metrics, bestEpoch, history, seconds }: ReportContent): Html {
  const main = metrics.splits.test ?? metrics.splits.val;
  const part = metrics.splits.test ? 'test' : 'validation';
  const list: [string, string][] = [];
  if (main && isClassification(main.overall)) {
    const { auc, aucLow, aucHigh, accuracy } = main.overall;
    const interval = aucLow === null || aucHigh === null ? '' : `, ${decimals(aucLow, 3)} to ${decimals(aucHigh, 3)}`;
    list.push([decimals(auc, 3), `${part} AUC${interval}`], [decimals(accuracy, 3), `${part} accuracy`]);
  } else if (main && !isClassification(main.overall)) {
    const unit = plan.task.kind === 'regression' ? plan.task.unit : '';
    list.push([digits(main.overall.rmse), `${part} RMSE, ${unit}`], [decimals(main.overall.r2, 3), `${part} R²`]);
  }
  if (bestEpoch >= 0) list.push([`${bestEpoch + 1} / ${history.length}`, 'epoch kept']);
  list.push(
    [bytes(metrics.bytesUp + metrics.bytesDown), 'on the wire, both ways'],
    [duration(seconds), 'from start to end'],
  );
  return html`<div class="cards">
    ${list.map(([value, name]) => html`<div class="card"><b>${value}</b><span>${name}</span></div>`)}
  </div>`;
}
