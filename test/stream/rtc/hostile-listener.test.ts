import { execFileSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { leanOnly } from '../../support/rtc-native.js';

leanOnly();

/** Ends with an error if anything is thrown where nobody can catch it. */
const PROGRAM = `
  import { PeerConnection } from '${pathToFileURL('dist/rtc/peer-connection.js')}';
  const said = [];
  process.on('unhandledRejection', ({ message }) => said.push(message));
  const connection = new PeerConnection();
  const gone = () => said.push('gone');
  const event = 'signalingstatechange';
  connection.addEventListener(event, async () => { throw new Error('rejected'); });
  connection.addEventListener(event, () => { throw new Error('thrown'); });
  connection.addEventListener(event, { handleEvent: ({ type }) => said.push(type) });
  connection.addEventListener(event, function () { said.push(this === connection); });
  connection.addEventListener(event, gone);
  connection.removeEventListener(event, gone);
  connection.addTransceiver('audio', { direction: 'sendonly' });
  await connection.setLocalDescription(await connection.createOffer());
  connection.close();
  setImmediate(() => console.log(JSON.stringify(said)));
`;

it('a listener that throws, or rejects, does not end the process and with it other calls', () => {
  const told = execFileSync(process.execPath, ['--input-type=module', '-e', PROGRAM], { encoding: 'utf8' });
  expect(JSON.parse(told)).toEqual(['signalingstatechange', true, 'thrown', 'rejected']);
});
