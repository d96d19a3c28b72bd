// Callers beyond what a gateway takes, in a process of their own that the phones on its core push aside whenever one is
// due: theirs are the times that are told, and a request of Node's is longer than they may wait.

import { Account } from './account.js';

export interface Offers {
  readonly gateway: string;
  readonly calls: number;
  /** Calls a second. */
  readonly rate: number;
}

const { gateway, calls, rate } = JSON.parse(process.argv[2] ?? '{}') as Offers;
const account = new Account(gateway);
process.send?.('ready');
process.once('message', async () => {
  const { errors, ...placed } = await account.placeMany(calls, rate, () => {});
  process.send?.({ ...placed, errors: errors.map(String) });
  process.disconnect();
});
