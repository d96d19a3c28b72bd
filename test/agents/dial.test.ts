import { afterEach, describe, expect, it } from 'vitest';
import { type AgentCall, type AgentHandler, type AgentServer, serveAgent } from '../../src/agents/index.js';
import type { GatewayOptions } from '../../src/index.js';
import { AudioSource } from '../../src/simulator/index.js';
import { startWithCarrier } from '../support/carrier.js';
import { tone } from '../support/media.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

const LEVEL = 8_000;
const PATIENT_MS = 300;
const SECRET = 'a-secret-of-sixteen-bytes-or-more';

const CALL = {
  from: '+15550001111',
  to: '+15552223333',
  webhookUrl: 'https://voice.example.com/edge/twilio/voice',
  record: true,
  listens: true,
  dejitterMs: PATIENT_MS,
};

const servers: { close(): unknown }[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

async function serve(handler: AgentHandler, options = {}): Promise<AgentServer> {
  const server = await serveAgent({ onError: () => {}, ...options }, handler);
  servers.push(server);
  return server;
}

/** A gateway whose calls an agent answers, and a caller. */
async function callAgent(agent: string, options: GatewayOptions = {}, audio?: AudioSource) {
  const started = await startWithCarrier({}, { agent, leadMs: PATIENT_MS, ...options });
  const phone = started.twilio.placeCall({ ...CALL, ...(audio === undefined ? {} : { audio }) });
  await phone.started;
  return { ...started, phone };
}

describe('a gateway with an agent', () => {
  it('dials it for each call, with facts, trace and signature; both hear each other', async () => {
    const calls: AgentCall[] = [];
    let frames = 0;
    const server = await serve(
      (call) => {
        calls.push(call);
        call.on('audio', (pcm) => {
          frames += pcm.length === call.rate / 50 ? 1 : Number.NaN;
        });
        call.on('answered', () => call.send(tone(700, call.sendRate, call.sendRate, LEVEL)));
      },
      { secret: SECRET },
    );
    const { phone, gateway } = await callAgent(
      server.url,
      { agents: { secret: SECRET } },
      AudioSource.tone(1_000),
    );
    await eventually('speech at the phone', () => phone.ear.soundUntil > clock.now());
    await sleep(1_500);
    const [call] = calls;
    expect(calls).toHaveLength(1);
    expect(call?.facts).toMatchObject({ from: CALL.from, to: CALL.to, direction: 'inbound', connection: 1 });
    expect(call?.facts?.callId).toBe(gateway.calls.listActive()[0]?.callId);
    expect(call?.rate).toBe(16_000);
    expect(frames).toBeGreaterThan(50);
    expect(call?.isAnswered).toBe(true);
    expect(await call?.mark('said')).toEqual({ place: 'heard', playedMs: 1_000 });
    phone.hangUp();
    await eventually('the end', () => call?.isClosed);
  });
});
