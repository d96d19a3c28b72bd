import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { postForm, voiceParameters } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { describeBehindProxy, startDocumented } from '../support/reverse-proxy.js';

/** Nearly all that a hook may take. */
const THOUGHT_MS = 9_500;
/** Twilio's own patience with a webhook. */
const TWILIO_SECONDS = 15;

const GUIDE = readFileSync(new URL('../../deploy/README.md', import.meta.url), 'utf8');
/** A webhook as Twilio sends it, by way of a proxy. */
const ask = async (port: number) =>
  (await postForm(`http://127.0.0.1:${port}`, '/twilio/voice', voiceParameters())).text();

describeBehindProxy('a proxy as the operators’ guide has it', () => {
  it.each(['haproxy', 'nginx'] as const)(
    '%s waits for a hook that thinks, and asks nobody else meanwhile',
    async (program) => {
      const asked: string[] = [];
      const { url } = await startGateway({
        prepareCall: async ({ callId }) => {
          asked.push(callId);
          await new Promise((resolve) => setTimeout(resolve, THOUGHT_MS));
          return { before: [{ say: 'at last' }] };
        },
      });
      const port = await startDocumented(program, new URL(url).host);
      expect(await ask(port)).toContain('<Say>at last</Say>');
      expect(asked).toHaveLength(1);
    },
    20_000,
  );

  it.each(['haproxy', 'nginx'] as const)(
    '%s says busy where no node answers',
    async (program) => {
      const { gateway, url } = await startGateway();
      const port = await startDocumented(program, new URL(url).host);
      await gateway.close(0);
      let answer = '';
      for (let tries = 0; tries < 60 && !answer.includes('<Reject'); tries++) {
        answer = await ask(port);
        if (!answer.includes('<Reject')) await new Promise((resolve) => setTimeout(resolve, 100));
      }
      expect(answer).toContain('<Reject reason="busy"/>');
    },
    20_000,
  );

  it('gives up before Twilio does', () => {
    const seconds = [...GUIDE.matchAll(/(?:proxy_read_timeout|timeout server) +(\d+)s/g)].map(([, s]) =>
      Number(s),
    );
    expect(seconds).toHaveLength(3);
    for (const each of seconds) expect(each).toBeLessThan(TWILIO_SECONDS);
  });
});
