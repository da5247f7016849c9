// A profile's table for people.

import type { ProfileRow, ProfileTable } from '../study/index.ts';

const operatorsMost = 12;

const headings: Readonly<Record<ProfileRow['kind'], string>> = {
  thread: '',
  receive: 'waits for',
  send: 'sends',
  data: '',
  commit: '',
  engine: 'calls',
  run: 'runs',
  operator: '',
};

/** The rows with their milliseconds a step and their share of it; of the operators the longest. */
export function profileLines({ steps, stepMs, rows }: ProfileTable): string[] {
  const lines = [`${steps} steps, ${stepMs.toFixed(2)} ms each, recorded; what overlaps counts in each of its places`];
  for (const who of ['server', 'site'] as const) {
    lines.push(who === 'server' ? 'server' : 'a site (mean)');
    const own = rows.filter((row) => row.who === who);
    const operators = own.filter(({ kind }) => kind === 'operator');
    const shown = [...own.filter(({ kind }) => kind !== 'operator'), ...operators.slice(0, operatorsMost)];
    for (const { kind, name, ms } of shown) {
      const share = `${((100 * ms) / stepMs).toFixed(0)} %`;
      const indent = kind === 'operator' ? '    ' : '  ';
      lines.push(
        `${indent}${`${headings[kind]} ${name}`.trim()}`.padEnd(58) + ms.toFixed(2).padStart(9) + share.padStart(7),
      );
    }
    const rest = operators.slice(operatorsMost).reduce((sum, { ms }) => sum + ms, 0);
    if (rest > 0) lines.push('    other operators'.padEnd(58) + rest.toFixed(2).padStart(9));
  }
  return lines;
}
