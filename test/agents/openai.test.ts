import { afterEach, describe, expect, it } from 'vitest';
import type { GatewayOptions } from '../../src/index.js';
import {
  phrasesIn,
  SimulatedRealtime,
  type SimulatedRealtimeOptions,
  speak,
} from '../../src/model-simulator/index.js';
import { GREETING, QUESTIONS } from '../../src/model-simulator/sentences.js';
import { AudioSource, type SimulatedPhone } from '../../src/simulator/index.js';
import { startWithAgent } from '../support/agent.js';
import { clock, eventually, virtualTime } from '../support/time.js';

virtualTime();

const KEY = 'sk-a-key-of-the-test';
const models: SimulatedRealtime[] = [];
afterEach(async () => {
  for (const model of models.splice(0)) await model.close();
});

/** A gateway whose calls a simulated model answers, and a caller. */
async function callModel(
  options: Partial<SimulatedRealtimeOptions> = {},
  { agents, ...gateway }: GatewayOptions = {},
) {
  const model = new SimulatedRealtime({ key: KEY, clock, ...options });
  models.push(model);
  const openaiUrl = await model.listen();
  const { place, ...started } = await startWithAgent('openai:gpt-realtime', {
    ...gateway,
    agents: { openaiKey: KEY, openaiUrl, greeting: `Say: "${GREETING}"`, ...agents },
  });
  return { ...started, model, place, phone: await place(AudioSource.silence()) };
}

/** Has the caller say a known sentence. */
async function say(phone: SimulatedPhone, text: string): Promise<void> {
  await phone.say(new AudioSource(text, speak(text) as Int16Array));
}

/** Waits until the caller has heard something and then silence for a while. */
async function silence(phone: SimulatedPhone, ms = 1_200): Promise<void> {
  await eventually('speech', () => phone.ear.soundUntil > clock.now(), 10_000);
  await eventually('silence', () => phone.ear.soundUntil < clock.now() - ms, 20_000);
}

const heardBy = (phone: SimulatedPhone) => phrasesIn(phone.heard()).map(({ text }) => text);

describe('a model of OpenAI', () => {
  it('greets the caller, and answers a spoken question', async () => {
    const { phone } = await callModel();
    await silence(phone);
    await say(phone, QUESTIONS.repair);
    await silence(phone);
    expect(heardBy(phone)).toEqual([GREETING, QUESTIONS.repair]);
  });
});
