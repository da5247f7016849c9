// Reads Vitest's JSON report and prints `PASSED FAILED`. A file that cannot be loaded, a missing report and an exit status
// that the report does not explain each count as one failure.
import { readFileSync } from 'node:fs';

const [path, status] = process.argv.slice(2);
let passed = 0;
let failed = 0;
try {
  for (const file of JSON.parse(readFileSync(path, 'utf8')).testResults) {
    const outcomes = file.assertionResults.map((test) => test.status);
    passed += outcomes.filter((outcome) => outcome === 'passed').length;
    const failures = outcomes.filter((outcome) => outcome === 'failed').length;
    failed += failures === 0 && file.status === 'failed' ? 1 : failures;
  }
} catch (error) {
  console.error(`no test report: ${error.message}`);
}
if (failed === 0 && (status !== '0' || passed === 0)) failed = 1;
console.log(`${passed} ${failed}`);
