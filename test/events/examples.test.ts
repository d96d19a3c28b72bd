import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { Caller } from '../support/caller.js';
import { ExampleServer } from '../support/example-server.js';
import { startGateway } from '../support/gateway.js';
import { needs } from '../support/needs.js';
import { SECRET } from '../support/receiver.js';
import { eventually } from '../support/time.js';

const hasPython = needs(
  'python3',
  'apt-get install python3',
  () => spawnSync('python3', ['-V']).status === 0,
);

describe.each([
  ['ts', true],
  ['python', hasPython],
] as const)('the receiver of events in %s', (language, isPossible) => {
  it.runIf(isPossible)('takes the events of a call once, and nothing that is not signed', async () => {
    const receiver = await ExampleServer.start('docs/events.md', language, SECRET);
    const { url } = await startGateway({ eventWebhooks: { url: receiver.url, secret: SECRET } });
    const caller = await Caller.call(url);
    caller.json({ event: 'dtmf', streamSid: caller.streamSid, dtmf: { digit: '5' } });
    await eventually('the key', () => receiver.said.includes('"digit"'));
    caller.stop();
    await eventually('the end', () => receiver.said.includes('call.ended'));
    const lines = receiver.said.trim().split('\n');
    expect(lines.map((line) => line.split(' ')[1])).toEqual([
      'call.started',
      'call.answered',
      'call.dtmf',
      'call.ended',
    ]);
    expect(new Set(lines.map((line) => line.split(' ')[2])).size).toBe(1);

    const { url: stranger, gateway } = await startGateway({
      eventWebhooks: { url: receiver.url, secret: 'whsec_YW5vdGhlciBzZWNyZXQgdGhhbiB0aGVpcnM=', tries: 1 },
    });
    (await Caller.call(stranger)).stop();
    await gateway.close(0);
    expect(receiver.said.trim().split('\n')).toHaveLength(lines.length);
    expect((await fetch(receiver.url, { method: 'POST', body: '{}' })).status).toBe(401);
  });
});
