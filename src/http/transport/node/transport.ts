import { createRequire } from 'node:module';
import type { Port, PortOptions, Transport } from '../transport.js';
import { NodePort } from './port.js';

/** Node's own HTTP, and the package `ws`: wherever Node runs. */
export class NodeTransport implements Transport {
  readonly name = 'node';
  readonly origin: string;

  /** @param failures why nothing faster serves */
  constructor(failures: readonly string[] = []) {
    this.origin = [nodeOrigin(), ...failures].join('; ');
  }

  port(options: PortOptions): Port {
    return new NodePort(options);
  }
}

/** The origin of a gateway that serves inside a server of the user's. */
export const attachedOrigin = (): string => `attached; ${nodeOrigin()}`;

function nodeOrigin(): string {
  const { version } = createRequire(import.meta.url)('ws/package.json') as { version: string };
  return `node:http of Node ${process.versions.node}, ws ${version}`;
}
