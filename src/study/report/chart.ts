// A line chart as inline SVG. Colours come from the page's style, so that it follows light and dark.

import { type Html, html } from './html.ts';

/** One line of a chart: a value for each epoch; null leaves a gap. */
export interface Series {
  readonly name: string;
  readonly values: readonly (number | null)[];
}

const width = 540;
const height = 230;
const left = 52;
const right = 14;
const top = 14;
const bottom = 34;

/**
 * A chart of values over epochs 1, 2, …; `mark` is the index of an epoch to point out. Empty when there is nothing to draw. Values that
 * fall or rise tenfold are drawn on a logarithmic scale, for the first epochs would flatten all others.
 */
export function lineChart(title: string, series: readonly Series[], mark: number): Html {
  const all = series.flatMap(({ values }) =>
    values.filter((value): value is number => value !== null && Number.isFinite(value)),
  );
  if (all.length === 0) return html``;
  const [least, most] = [Math.min(...all), Math.max(...all)];
  const logarithmic = least > 0 && most > 10 * least;
  const ticks = logarithmic ? logTicksOf(least, most) : ticksOf(least, most);
  const [low, high] = [ticks[0]!, ticks.at(-1)!];
  const height01 = logarithmic
    ? (value: number) => Math.log(value / low) / Math.log(high / low)
    : (value: number) => (value - low) / (high - low);
  const epochs = Math.max(...series.map(({ values }) => values.length));
  const x = (epoch: number) => left + ((width - left - right) * epoch) / Math.max(1, epochs - 1);
  const y = (value: number) => top + (height - top - bottom) * (1 - height01(value));
  const at = (value: number) => value.toFixed(1);
  const labels = epochTicks(epochs);
  return html`<figure>
    <figcaption>
      ${title} ${series.map(({ name }, index) => html`<span class="key line-${index}">${name}</span>`)}
    </figcaption>
    <svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
      ${ticks.map(
        (tick) =>
          html`<line class="grid" x1="${left}" x2="${width - right}" y1="${at(y(tick))}" y2="${at(y(tick))}" />
            <text class="tick" x="${left - 8}" y="${at(y(tick) + 4)}" text-anchor="end">${tick}</text>`,
      )}
      ${labels.map(
        (epoch) =>
          html`<text class="tick" x="${at(x(epoch))}" y="${height - 14}" text-anchor="middle">${epoch + 1}</text>`,
      )}
      ${
        mark < 0 || mark >= epochs
          ? null
          : html`<line class="mark" x1="${at(x(mark))}" x2="${at(x(mark))}" y1="${top}" y2="${height - bottom}">
              <title>epoch ${mark + 1} was kept</title>
            </line>`
      }
      ${series.map(
        ({ values }, index) =>
          html`<path class="line line-${index}" d="${pathOf(values, x, y)}" /> ${
              values.length === 1 && values[0] !== null && values[0] !== undefined
                ? html`<circle class="dot line-${index}" cx="${at(x(0))}" cy="${at(y(values[0]))}" r="3" />`
                : null
            }`,
      )}
      <text class="tick" x="${width - right}" y="${height - 3}" text-anchor="end">epoch</text>
    </svg>
  </figure>`;
}

function pathOf(
  values: readonly (number | null)[],
  x: (epoch: number) => number,
  y: (value: number) => number,
): string {
  let path = '';
  let drawing = false;
  values.forEach((value, epoch) => {
    if (value === null || !Number.isFinite(value)) drawing = false;
    else {
      path += `${drawing ? 'L' : 'M'}${x(epoch).toFixed(1)},${y(value).toFixed(1)}`;
      drawing = true;
    }
  });
  return path;
}

/** Four to seven round numbers that enclose low and high. */
export function ticksOf(low: number, high: number): number[] {
  const span = high - low || Math.abs(high) || 1;
  const rough = span / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough) ?? power * 10;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(first + 1, Math.ceil(high / step - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

/** 1, 2 and 5 times powers of ten, from the last below to the first above; only the powers where that would be many. */
export function logTicksOf(low: number, high: number): number[] {
  for (const factors of [[1, 2, 5], [1]]) {
    const ticks: number[] = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
      ticks.push(...factors.map((factor) => Number((factor * 10 ** power).toPrecision(6))));
    const first = ticks.findLastIndex((tick) => tick <= low);
    const enclosing = ticks.slice(Math.max(0, first), ticks.findIndex((tick) => tick >= high) + 1);
    if (enclosing.length <= 8 || factors.length === 1) return enclosing;
  }
  return [low, high];
}

/** Indices of the epochs that are written below: the first and round ones. */
function epochTicks(epochs: number): number[] {
  const round = ticksOf(0, epochs).filter((epoch) => Number.isInteger(epoch) && epoch > 1 && epoch <= epochs);
  return [0, ...round.map((epoch) => epoch - 1)];
}

/** A figure with its interval on a line from `low` to `high`. */
export function intervalBar(
  value: number | null,
  interval: readonly [number | null, number | null],
  low: number,
  high: number,
): Html {
  if (value === null) return html``;
  const place = (number: number) =>
    (4 + (112 * (Math.min(high, Math.max(low, number)) - low)) / (high - low)).toFixed(1);
  const [from, to] = interval;
  return html`<svg class="interval" viewBox="0 0 120 14" aria-hidden="true">
    <line class="grid" x1="4" x2="116" y1="7" y2="7" />
    ${from === null || to === null ? null : html`<line class="span" x1="${place(from)}" x2="${place(to)}" y1="7" y2="7" />`}
    <circle class="point" cx="${place(value)}" cy="7" r="3.5" />
  </svg>`;
}
