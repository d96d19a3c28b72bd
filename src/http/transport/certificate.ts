import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { GatewayError } from '../../errors.js';
import type { Certificate } from './transport.js';

/** A certificate and its private key, in PEM. */
export interface CertificateText {
  readonly cert: string;
  readonly key: string;
}

/**
 * Reads a certificate and its key, and checks that they match, because a server's own error would not name the cause.
 * @throws GatewayError `GW_TLS_FILE`
 */
export function readCertificate({ certFile, keyFile }: Certificate): CertificateText {
  const text = { cert: read('a certificate', certFile), key: read('a private key', keyFile) };
  try {
    createSecureContext(text);
  } catch (cause) {
    const message = `Expected a certificate and its private key in PEM but received ${certFile} and ${keyFile}`;
    throw new GatewayError('GW_TLS_FILE', message, { cause });
  }
  return text;
}

function read(what: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    const message = `Expected a readable file for ${what} but received ${JSON.stringify(file)}`;
    throw new GatewayError('GW_TLS_FILE', message, { cause });
  }
}
