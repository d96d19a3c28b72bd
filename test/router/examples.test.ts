import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { postForm, voiceParameters } from '../support/caller.js';
import { ExampleServer } from '../support/example-server.js';
import { startGateway } from '../support/gateway.js';
import { needs } from '../support/needs.js';
import { SECRET } from '../support/receiver.js';

const PAGE = 'docs/router.md';

const hasPython = needs(
  'Python 3',
  'apt-get install python3',
  () => spawnSync('python3', ['-c', '']).status === 0,
);

it.runIf(hasPython).each([SECRET, 'a secret in plain words'])(
  'the router in Python decides where calls go (%s)',
  async (secret) => {
    const { url: router, code } = await ExampleServer.start(PAGE, 'python', secret);
    expect(code.trimEnd().split('\n').length).toBeLessThanOrEqual(30);
    const joined: { room: string; user: { name?: string } }[] = [];
    const { url } = await startGateway({
      router: { url: router, secret },
      bridge: {
        name: 'noting',
        join: async (request) => {
          joined.push(request);
          return { write() {}, dtmf() {}, close() {} };
        },
        close: async () => {},
      },
    });
    const ask = async (more: Record<string, string>) =>
      (await postForm(url, '/twilio/voice', voiceParameters(more))).text();
    expect(await ask({ CallerName: 'ADA' })).toContain('<Connect><Stream');
    expect(joined[0]).toMatchObject({ room: 'default:support', user: { name: 'ADA' } });
    expect(await ask({ From: '+19005550000' })).toContain('<Say>We do not take this call.</Say><Hangup/>');

    // A gateway with a wrong secret is rejected.
    const { url: stranger } = await startGateway({ router: { url: router, secret: 'quite another secret' } });
    const answer = await (await postForm(stranger, '/twilio/voice', voiceParameters())).text();
    expect(answer).toContain('<Reject reason="busy"/>');
    expect((await fetch(router, { method: 'POST', body: '{}' })).status).toBe(401);
  },
);

it('the router in TypeScript decides where calls go', async () => {
  const { url: router } = await ExampleServer.start(PAGE, 'ts', SECRET);
  const { url } = await startGateway({ router: { url: router, secret: SECRET } });
  const ask = async (to: string) =>
    (await postForm(url, '/twilio/voice', voiceParameters({ To: to, Called: to }))).text();
  expect(await ask('+15550100')).toContain('<Connect><Stream');
  expect(await ask('+15550199')).toContain('<Reject reason="busy"/>');
  expect((await fetch(router, { method: 'POST', body: '{}' })).status).toBe(401);
});
