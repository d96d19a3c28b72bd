import type { Port, PortOptions, Transport } from '../transport.js';
import { loadUws, type Uws } from './load.js';
import { UwsPort } from './port.js';

/** uWebSockets.js: HTTP and WebSockets in C++, where its binary fits this Node and the C library. */
export class UwsTransport implements Transport {
  readonly name = 'uws';
  readonly origin: string;
  private readonly uws: Uws;

  /**
   * @param packageName one of `UWS_PACKAGES`
   * @throws Error in few words where it cannot be loaded
   */
  constructor(packageName: string) {
    const { uws, version } = loadUws(packageName);
    this.uws = uws;
    this.origin = `uWebSockets.js ${version}`;
  }

  port(options: PortOptions): Port {
    return new UwsPort(this.uws, options);
  }
}
