import { GatewayError } from '../../errors.js';
import { NodeTransport } from './node/transport.js';
import type { ServerChoice, Transport } from './transport.js';
import { UWS_PACKAGES } from './uws/load.js';
import { UwsTransport } from './uws/transport.js';

/**
 * The first transport that loads: uWebSockets.js in the newest version for this Node and C library, or Node's own HTTP.
 * @throws GatewayError `GW_SERVER_MISSING` if uWebSockets.js is required and does not load
 */
export function chooseTransport(choice: ServerChoice = 'auto'): Transport {
  if (choice === 'node') return new NodeTransport();
  const failures: string[] = [];
  for (const name of UWS_PACKAGES) {
    try {
      return new UwsTransport(name);
    } catch (error) {
      failures.push(`${name} ${(error as Error).message}`);
    }
  }
  if (choice === 'auto') return new NodeTransport(failures);
  throw new GatewayError(
    'GW_SERVER_MISSING',
    `uWebSockets.js cannot be loaded: ${failures.join('; ')}. SERVER=auto or SERVER=node serves with Node's own HTTP`,
  );
}
