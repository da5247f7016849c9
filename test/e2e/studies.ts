// Small studies for tests of the command line.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { planHash } from '../../src/protocol/index.ts';
import { planOf, readStudy } from '../../src/study/index.ts';

/** The arguments by which a site approves the plan of a study file. */
export async function approval(study: string): Promise<readonly string[]> {
  return ['--approve', planHash(planOf(await readStudy(study)).plan)];
}

/** A study on synthetic lipid panels, written into `folder`; its path. */
export function lipidStudy(
  folder: string,
  settings: {
    readonly epochs?: number;
    readonly method?: string;
    readonly labels?: string;
    readonly sites?: string;
  } = {},
): string {
  const { epochs = 4, method = 'septum', labels = 'server', sites = 'ratio: [7, 2, 1]' } = settings;
  const path = join(folder, 'study.yaml');
  writeFileSync(
    path,
    `study: lipids
method: ${method}
choices: { labels: ${labels} }
sites: { ${sites} }
network: { name: lipid-mlp }
training: { batch: 64, epochs: ${epochs}, learningRate: 0.003 }
data: { kind: synthetic, case: cholesterol, records: 600 }
`,
  );
  return path;
}

/** A table of `rows` records that a line can nearly learn: `y` from `a` and `b`. */
export function table(rows: number, from = 0): string {
  const lines = ['id,a,b,split,y'];
  for (let row = from; row < from + rows; row++) {
    const [a, b] = [(row * 37) % 101, (row * 53) % 89];
    const split = row % 5 === 0 ? 'test' : row % 5 === 1 ? 'val' : 'train';
    lines.push(`r${row},${a},${b},${split},${100 + 2 * a - b}`);
  }
  return `${lines.join('\n')}\n`;
}

/** A study on such tables. */
export function tableStudy(folder: string, sites: number): string {
  const path = join(folder, 'table.yaml');
  writeFileSync(
    path,
    `study: table
choices: { labels: server }
sites: { count: ${sites} }
network: { name: lipid-mlp }
training: { batch: 32, epochs: 30, learningRate: 0.01 }
data:
  kind: table
  columns: { id: id, split: split }
  inputs: [{ column: a, unit: mm }, { column: b, unit: mm }]
  target: { column: y, unit: mm }
`,
  );
  return path;
}
