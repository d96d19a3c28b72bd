import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { postForm, voiceParameters } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { describeBehindProxy, startDocumented } from '../support/reverse-proxy.js';
import { sleep } from '../support/time.js';

/** Beyond any proxy timeout or retry, except the configured {@link timeouts}. */
const THOUGHT_MS = 4_500;
/** Maximum time of a hook or router. */
const HOOK_SECONDS = 10;
/** Twilio's timeout for a webhook. */
const TWILIO_SECONDS = 15;

const GUIDE = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
/** How long the guide's proxies wait for a response: every timeout that is not for tunnels or connecting. */
const timeouts = [...GUIDE.matchAll(/\b(\w*timeout\w*)(?: (\w+))? +(\d+)s\b/g)]
  .map(([, name = '', of = '', seconds]) => ({ name: `${name} ${of}`.trim(), seconds: Number(seconds) }))
  .filter(({ name }) => !/connect/.test(name));

/** A webhook as Twilio sends it, through a proxy. */
const ask = async (port: number) =>
  (await postForm(`http://127.0.0.1:${port}`, '/twilio/voice', voiceParameters())).text();

describeBehindProxy('a proxy as the operators’ guide has it', () => {
  it('waits for a slow hook, and asks no other node meanwhile', async () => {
    const asked: string[] = [];
    const { url } = await startGateway({
      prepareCall: async ({ callId }) => {
        asked.push(callId);
        await sleep(THOUGHT_MS);
        return { before: [{ say: 'at last' }] };
      },
    });
    const answers = await Promise.all(
      (['haproxy', 'nginx'] as const).map(async (program) =>
        ask(await startDocumented(program, new URL(url).host)),
      ),
    );
    for (const answer of answers) expect(answer).toContain('<Say>at last</Say>');
    expect(asked).toHaveLength(2);
  });

  it.each(['haproxy', 'nginx'] as const)('%s answers busy if no node does', async (program) => {
    const { gateway, url } = await startGateway();
    const port = await startDocumented(program, new URL(url).host, '50ms');
    await gateway.close(0);
    let answer = '';
    while (!answer.includes('<Reject')) {
      await sleep(20);
      answer = await ask(port);
    }
    expect(answer).toContain('<Reject reason="busy"/>');
  });
});

it('the proxies of the guide wait longer than any hook, and less than Twilio', () => {
  const ofAnAnswer = timeouts.filter(({ name }) => /server|read/.test(name));
  expect(ofAnAnswer).toHaveLength(3);
  for (const { seconds } of timeouts) expect(seconds).toBeGreaterThan(HOOK_SECONDS);
  for (const { seconds } of ofAnAnswer) expect(seconds).toBeLessThan(TWILIO_SECONDS);
});
