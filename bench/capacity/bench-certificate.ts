import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A certificate that signed itself for the name of the benches' gateway, and its key, in a folder of their own. */
export class BenchCertificate {
  private readonly folder = mkdtempSync(join(tmpdir(), 'trunkline-certificate-'));
  readonly certFile = join(this.folder, 'cert.pem');
  readonly keyFile = join(this.folder, 'key.pem');

  /** Whether it can be made here: needs the command `openssl`. */
  static isPossible(): boolean {
    return spawnSync('openssl', ['version']).status === 0;
  }

  /** @param kind of its key: ECDSA with P-256, or RSA with 2048 bits */
  constructor(kind: 'ECDSA' | 'RSA' = 'ECDSA') {
    const host = 'gateway.invalid';
    const ecdsa = ['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
    const key = ['-nodes', '-newkey', ...(kind === 'RSA' ? ['rsa:2048'] : ecdsa)];
    const names = ['-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host},IP:127.0.0.1`];
    const files = ['-keyout', this.keyFile, '-out', this.certFile];
    execFileSync('openssl', ['req', '-x509', '-days', '2', ...key, ...names, ...files], { stdio: 'ignore' });
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
