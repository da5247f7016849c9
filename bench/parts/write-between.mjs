// Puts what a bench printed into a page, in place of what stood there before.

import { readFileSync, writeFileSync } from 'node:fs';

/** Replaces what is between `<!-- NAME -->` and `<!-- /NAME -->`. Throws when the page does not have these two, in this order. */
export function writeBetween(file, name, text) {
  const page = readFileSync(file, 'utf8');
  const [start, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const from = page.indexOf(start);
  const to = page.indexOf(end);
  if (from < 0 || to < from) throw new Error(`${file} has no ${start} … ${end}`);
  writeFileSync(file, `${page.slice(0, from + start.length)}\n\n${text.trim()}\n\n${page.slice(to)}`);
}
