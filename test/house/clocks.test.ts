// Dates come from a clock that people set, forwards and back. Nothing is waited for by it: what counts durations is the Clock of base/, or
// performance.now().

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const src = join(import.meta.dirname, '../../src');

/** Who may ask what date it is: for entries and approvals that say when, for the ends of certificates and invites. */
const datesOf = [
  'store/node/file-ledger.ts',
  'study/enrolment/door.ts',
  'study/enrolment/server-folder.ts',
  'study/enrolment/site-certificate.ts',
  'study/enrolment/site-folder.ts',
  'study/run/approved-plans.ts',
  'study/run/run-log.ts',
  'study/run/serve-studies.ts',
  'study/run/study-notes.ts',
];

test('only those ask for the date that write one down', () => {
  const asking = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
    .filter((file) => /\bDate\.now\b|\bnew Date\(\)/.test(readFileSync(join(src, file), 'utf8')));
  expect(asking.map((file) => file.replaceAll('\\', '/')).toSorted()).toEqual(datesOf);
});
