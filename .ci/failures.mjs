// What failed, of Vitest's JSON reports.
//   failures.mjs files REPORT        the test files with a failure, a line each
//   failures.mjs summary REPORT…     counts of each run, and every failure with its first line
import { existsSync, readFileSync } from 'node:fs';
import { basename, relative } from 'node:path';

const [what, ...paths] = process.argv.slice(2);
const reports = paths
  .filter(existsSync)
  .map((path) => ({ name: basename(path, '.json'), ...JSON.parse(readFileSync(path, 'utf8')) }));

for (const { name, testResults, numPassedTests, numFailedTests } of reports) {
  const failed = testResults.filter(({ status }) => status === 'failed');
  if (what === 'files') {
    for (const file of failed) console.log(relative('.', file.name));
    continue;
  }
  console.log(`${name}: ${numPassedTests} passed, ${numFailedTests} failed`);
  for (const file of failed) {
    // A file that fails as a whole (an import, a hook) names no test.
    if (file.message) console.log(`  ${relative('.', file.name)}: ${file.message.split('\n', 1)[0]}`);
    for (const test of file.assertionResults.filter(({ status }) => status === 'failed'))
      console.log(
        `  ${relative('.', file.name)} > ${test.fullName}: ${(test.failureMessages[0] ?? '').split('\n', 1)[0]}`,
      );
  }
}
