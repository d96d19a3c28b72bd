// Callers beyond what a gateway takes, in a process of their own that yields to the phones on its core: theirs are the
// times that are told, and a request of Node's is longer than they may wait.

import { setPriority } from 'node:os';
import { Account } from './account.js';

const LOWEST_PRIORITY = 19;

export interface Offers {
  readonly gateway: string;
  readonly calls: number;
  /** Calls a second. */
  readonly rate: number;
}

setPriority(LOWEST_PRIORITY);
const { gateway, calls, rate } = JSON.parse(process.argv[2] ?? '{}') as Offers;
const account = new Account(gateway);
process.send?.('ready');
process.once('message', async () => {
  const { errors, ...placed } = await account.placeMany(calls, rate, () => {});
  process.send?.({ ...placed, errors: errors.map(String) });
  process.disconnect();
});
