// Line charts as one SVG, two in a row.

const width = 420;
const height = 280;
const margin = { left: 62, right: 16, top: 34, bottom: 46 };
const colours = ['#1b6ca8', '#b5541c'];

/** `panels`: `{ title, x, y, lines: [{ name, points: [[x, y], …] }] }`; both axes begin at 0. */
export function plot(panels) {
  const rows = Math.ceil(panels.length / 2);
  const body = panels.map(
    (panel, at) => `<g transform="translate(${(at % 2) * width} ${Math.floor(at / 2) * height})">${chart(panel)}</g>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${2 * width} ${rows * height}" font-family="system-ui, sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>${body.join('')}</svg>\n`;
}

function chart({ title, x, y, lines }) {
  const all = lines.flatMap(({ points }) => points);
  const [mostX, mostY] = [niceEnd(all.map((point) => point[0])), niceEnd(all.map((point) => point[1]))];
  const inner = { width: width - margin.left - margin.right, height: height - margin.top - margin.bottom };
  const atX = (value) => margin.left + (value / mostX) * inner.width;
  const atY = (value) => margin.top + inner.height - (value / mostY) * inner.height;
  const ticks = [0, 1, 2, 3, 4].map((at) => at / 4);
  const grid = ticks.map((share) => {
    const [value, place] = [share * mostY, atY(share * mostY)];
    return `<line x1="${margin.left}" x2="${width - margin.right}" y1="${place}" y2="${place}" stroke="#ddd"/><text x="${margin.left - 6}" y="${place + 4}" text-anchor="end">${number(value)}</text>`;
  });
  const marks = ticks.map(
    (share) =>
      `<text x="${atX(share * mostX)}" y="${height - margin.bottom + 16}" text-anchor="middle">${number(share * mostX)}</text>`,
  );
  const drawn = lines.map(({ name, points }, at) => {
    const places = points.map(([px, py]) => `${atX(px).toFixed(1)},${atY(py).toFixed(1)}`);
    const dots = places.map(
      (place) => `<circle cx="${place.split(',')[0]}" cy="${place.split(',')[1]}" r="3" fill="${colours[at]}"/>`,
    );
    const key = `<text x="${margin.left + 10}" y="${margin.top + 14 + 16 * at}" fill="${colours[at]}">${name}</text>`;
    return `<polyline points="${places.join(' ')}" fill="none" stroke="${colours[at]}" stroke-width="2"/>${dots.join('')}${lines.length > 1 ? key : ''}`;
  });
  return `<text x="${width / 2}" y="20" text-anchor="middle" font-weight="bold">${title}</text>${grid.join('')}${marks.join('')}<text x="${width / 2}" y="${height - 10}" text-anchor="middle">${x}</text><text transform="translate(14 ${height / 2}) rotate(-90)" text-anchor="middle">${y}</text>${drawn.join('')}`;
}

/** The end of an axis that has four ticks of round numbers. */
function niceEnd(values) {
  const most = Math.max(...values);
  const step = most / 4;
  const power = 10 ** Math.floor(Math.log10(step));
  return 4 * power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= step);
}

function number(value) {
  return Number.isInteger(value) ? String(value) : value.toFixed(1);
}
