// The report's sections besides its figures: how training went, what leaves a site, what ran where and for how long.

import type { Metrics } from '../../metrics/index.ts';
import { describeChoices, type Plan, planHash } from '../../protocol/index.ts';
import type { EpochRecord } from '../../server/index.ts';
import { lineChart } from './chart.ts';
import { isClassification, type ReportContent } from './content.ts';
import { type Html, html } from './html.ts';
import { bytes, count, duration } from './numbers.ts';

export function curves({ plan, history, bestEpoch }: ReportContent): Html {
  if (history.length === 0) return html``;
  const of = (value: (record: EpochRecord) => number | null | undefined) =>
    history.map((record) => value(record) ?? null);
  const figure =
    plan.task.kind === 'classification'
      ? {
          title: 'AUC',
          of: (metrics: Metrics | undefined) => (metrics && isClassification(metrics) ? metrics.auc : null),
        }
      : {
          title: `RMSE, ${plan.task.unit}`,
          of: (metrics: Metrics | undefined) => (metrics && !isClassification(metrics) ? metrics.rmse : null),
        };
  return html`<section>
    <h2>Training</h2>
    <div class="charts">
      ${lineChart(
        'Loss',
        [
          { name: 'training', values: of(({ trainLoss }) => trainLoss) },
          { name: 'validation', values: of(({ val }) => val?.overall.loss) },
        ],
        bestEpoch,
      )}
      ${lineChart(figure.title, [{ name: 'validation', values: of(({ val }) => figure.of(val?.overall)) }], bestEpoch)}
    </div>
  </section>`;
}

export function strip({ strip: images, synthetic, plan }: ReportContent): Html {
  if (!images) return html``;
  return html`<section>
    <h2>What the privacy-preserving layer sends</h2>
    <p>
      Left, ${images.records.length} validation records of ${images.site}, chosen by row number. Right, what leaves the
      site for each: ${images.shown.length} of ${images.channelCount} channels of the activations
      [${plan.network.cutDims.join(', ')}], each stretched from black to white. What can be seen here, anyone who holds
      the activations can see.
    </p>
    <div class="wide">
      <div class="strip">
        <div>
          <span class="original">original</span>
          ${images.shown.map((channel) => html`<span>channel ${channel}</span>`)}
        </div>
        ${images.records.map(
          ({ row, original, channels }) =>
            html`<div>
              <img class="original" src="${original}" alt="validation record ${row}" title="row ${row}" />
              ${channels.map((channel) => html`<img src="${channel}" alt="a channel of its activations" />`)}
            </div>`,
        )}
      </div>
    </div>
    ${
      synthetic
        ? null
        : html`<p class="lead">These are pictures of the records themselves: treat this file as you treat them.</p>`
    }
  </section>`;
}

export function whatRan({ plan }: ReportContent): Html {
  const { training, network, choices } = plan;
  const { optimizer, schedule } = training;
  const settings = Object.entries(optimizer).flatMap(([name, value]) =>
    name === 'kind' || value === 0 || value === false ? [] : [`${name} ${value}`],
  );
  const rows: [string, string][] = [
    ['network', `${network.name}, ${optionsText(network.options)}input [${network.inputDims.join(', ')}]`],
    [
      'cut',
      `${network.cut}: activations [${network.cutDims.join(', ')}]${network.headCut === undefined ? '' : `; head from ${network.headCut}`}`,
    ],
    ['choices', describeChoices(choices)],
    [
      'training',
      `${training.epochs} epochs of batches of ${training.batch}${training.augmentPasses > 0 ? `, ${training.augmentPasses} augmented passes` : ''}; loss ${network.loss}`,
    ],
    [
      'optimizer',
      `${optimizer.kind}, learning rate ${training.learningRate} (${schedule.kind})${settings.length > 0 ? `, ${settings.join(', ')}` : ''}`,
    ],
    [
      'kept',
      training.select === 'last'
        ? 'the last epoch'
        : 'the best epoch by validation; nothing was chosen by the test part',
    ],
    ['plan', planHash(plan)],
  ];
  return html`<section>
    <h2>What ran</h2>
    <dl>
      ${rows.map(
        ([name, value]) =>
          html`<dt>${name}</dt>
            <dd>${value}</dd>`,
      )}
    </dl>
  </section>`;
}

function optionsText(options: Plan['network']['options']): string {
  return Object.entries(options)
    .map(([name, value]) => `${name} ${JSON.stringify(value)}, `)
    .join('');
}

export function sites({ plan, dealing }: ReportContent): Html {
  if (!dealing) return html``;
  const { task } = plan;
  const classes = task.kind === 'classification' ? task.classes : undefined;
  const cell = (counts: readonly number[]) => {
    const total = counts.reduce((sum, one) => sum + one, 0);
    return classes === undefined ? count(total) : `${count(total)} (${counts.map(count).join(' / ')})`;
  };
  const totals = (part: 'train' | 'val' | 'test') =>
    Object.values(dealing.counts).reduce<number[]>(
      (sums, own) => own[part].map((value, index) => value + (sums[index] ?? 0)),
      [],
    );
  return html`<section>
    <h2>Sites</h2>
    <p class="lead">
      The records of this machine were dealt ${dealing.ratio.join(' : ')}, whole groups together, each part
      apart${classes === undefined ? '' : `; in brackets ${classes.join(' / ')}`}.
    </p>
    <div class="wide">
      <table>
        <tr>
          <th></th>
          <th>training</th>
          <th>validation</th>
          <th>test</th>
        </tr>
        ${Object.entries(dealing.counts).map(
          ([name, own]) =>
            html`<tr>
              <td>${name}</td>
              <td>${cell(own.train)}</td>
              <td>${cell(own.val)}</td>
              <td>${cell(own.test)}</td>
            </tr>`,
        )}
        <tr class="overall">
          <td>all</td>
          <td>${cell(totals('train'))}</td>
          <td>${cell(totals('val'))}</td>
          <td>${cell(totals('test'))}</td>
        </tr>
      </table>
    </div>
  </section>`;
}

export function leaving({ plan, metrics }: ReportContent): Html {
  return html`<section>
    <h2>Who learns what</h2>
    <ul>
      ${plan.statements.map((statement) => html`<li>${statement}</li>`)}
    </ul>
    <div class="wide">
      <table>
        <tr>
          <th>message</th>
          <th class="text">direction</th>
          <th>tensors</th>
        </tr>
        ${plan.leaves.map(
          ({ kind, direction, bytes: size, per }) =>
            html`<tr>
              <td>${kind}</td>
              <td class="text">${direction === 'up' ? 'site to server' : 'server to site'}</td>
              <td>${bytes(size)} a ${per}</td>
            </tr>`,
        )}
        <tr class="overall">
          <td>all, as counted on the wire</td>
          <td class="text">both</td>
          <td>${bytes(metrics.bytesUp)} up, ${bytes(metrics.bytesDown)} down</td>
        </tr>
      </table>
    </div>
  </section>`;
}

export function time({ metrics, seconds, processes = [] }: ReportContent): Html {
  const speed =
    metrics.samplesPerSecond === null
      ? ''
      : `, ${count(Math.round(metrics.samplesPerSecond))} training records a second`;
  const shown = (milliseconds: number | undefined) =>
    milliseconds === undefined ? '–' : duration(milliseconds / 1000);
  return html`<section>
    <h2>Time</h2>
    <p>${duration(seconds)} from start to end; training steps took ${duration(metrics.seconds)}${speed}.</p>
    ${
      processes.length === 0
        ? null
        : html`<div class="wide">
            <table>
              <tr>
                <th>process</th>
                <th>computing</th>
                <th>waiting for others</th>
                <th>largest memory</th>
              </tr>
              ${processes.map(
                ({ name, computedMs, waitedMs, peakBytes }) =>
                  html`<tr>
                    <td>${name}</td>
                    <td>${shown(computedMs)}</td>
                    <td>${shown(waitedMs)}</td>
                    <td>${peakBytes === undefined ? '–' : bytes(peakBytes)}</td>
                  </tr>`,
              )}
            </table>
          </div>`
    }
  </section>`;
}
