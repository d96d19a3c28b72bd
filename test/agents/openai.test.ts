import { afterEach, describe, expect, it } from 'vitest';
import type { AgentTool } from '../../src/agents/index.js';
import type { GatewayOptions } from '../../src/index.js';
import {
  AudioSource,
  InstantReader,
  type ItemRecord,
  phrasesIn,
  type RealtimeFaults,
  type SimulatedPhone,
  SimulatedRealtime,
  type SimulatedRealtimeOptions,
  speak,
} from '../../src/simulator/index.js';
import { GREETING, KEY_PRESSED, QUESTIONS, UNKNOWN } from '../../src/simulator/sentences.js';
import { APOLOGY, CALL, isHearing, startWithAgent } from '../support/agent.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

const KEY = 'sk-a-key-of-the-test';
const ANSWER = 'A standard repair takes two working days.';
/** A caller hears an apology at most so long after the model is gone. */
const APOLOGY_MS = 5_000;
/** 20 ms. */
const STEP_SAMPLES = 160;
/** What the model believes to have been heard may differ by so much from what the phone has played. */
const TOLERANCE_MS = 40;

const models: SimulatedRealtime[] = [];
afterEach(async () => {
  for (const model of models.splice(0)) await model.close();
});

/** A gateway whose calls a simulated model answers. */
async function startWithModel(
  options: Partial<SimulatedRealtimeOptions> = {},
  { agents, ...gateway }: GatewayOptions = {},
) {
  const model = new SimulatedRealtime({ key: KEY, clock, ...options });
  models.push(model);
  const openaiUrl = await model.listen();
  const started = await startWithAgent('openai:gpt-realtime', {
    ...gateway,
    agents: { openaiKey: KEY, openaiUrl, greeting: `Say: "${GREETING}"`, ...agents },
  });
  return { ...started, model };
}

/** The same, and a caller. */
async function callModel(...args: Parameters<typeof startWithModel>) {
  const started = await startWithModel(...args);
  return { ...started, phone: await started.place(AudioSource.silence()) };
}

/** Has the caller say a known sentence. */
async function say(phone: SimulatedPhone, text: string): Promise<void> {
  await phone.say(new AudioSource(text, speak(text) as Int16Array));
}

/** Waits until the caller has heard something, and then nothing for a while. */
async function heardOut(phone: SimulatedPhone, ms = 1_200): Promise<void> {
  await eventually('speech', () => isHearing(phone), 10_000);
  await eventually('silence', () => phone.ear.soundUntil < clock.now() - ms, 30_000);
}

const heardBy = (phone: SimulatedPhone) => phrasesIn(phone.heard()).map(({ text }) => text);
const textsOf = (items: readonly ItemRecord[] = []) => items.map(({ text }) => text);

describe('a model of OpenAI', () => {
  it.each([8_000, 16_000, 24_000] as const)(
    'greets the caller and answers a spoken question, at %i Hz',
    async (rate) => {
      const { phone, model } = await callModel(
        {},
        { prepareCall: () => ({ agent: { to: 'openai:gpt-realtime', rate } }) },
      );
      await heardOut(phone);
      await say(phone, QUESTIONS.repair);
      await heardOut(phone);
      expect(heardBy(phone)).toEqual([GREETING, QUESTIONS.repair]);
      expect(textsOf(model.sessions[0]?.items)).toEqual([GREETING, QUESTIONS.repair, QUESTIONS.repair]);
      expect(model.sessions[0]?.receivedCounts).not.toHaveProperty('invalid');
      await phone.hangUp();
      await eventually('the end of the session', () => model.openSessions.length === 0);
    },
  );

  it('waits for the caller if its greeting is empty, and is told its instructions', async () => {
    const { phone, model } = await callModel(
      {},
      { agents: { greeting: '', instructions: 'Be brief.', voice: 'cedar' } },
    );
    await sleep(2_000);
    expect(isHearing(phone)).toBe(false);
    const update = model.sessions[0]?.received.find(({ type }) => type === 'session.update');
    expect(update?.event.session).toMatchObject({
      instructions: 'Be brief.',
      audio: { input: { format: { type: 'audio/pcmu' } }, output: { voice: 'cedar' } },
    });
    await say(phone, QUESTIONS.rent);
    await heardOut(phone);
    expect(heardBy(phone)).toEqual([QUESTIONS.rent]);
  });

  it.each([8_000, 24_000] as const)(
    'believes of an interrupted answer to have said what the phone has played, at %i Hz',
    async (rate) => {
      const sweep = AudioSource.sweep().pcm;
      const { twilio, model } = await startWithModel(
        { reply: () => ({ say: [{ text: 'word '.repeat(96), pcm: sweep }] }) },
        { prepareCall: () => ({ agent: { to: 'openai:gpt-realtime', rate } }) },
      );
      for (const afterMs of [300, 1_111, 2_500, 6_007]) {
        // Its recording is what it plays at that moment.
        const phone = twilio.placeCall({ ...CALL, audio: AudioSource.silence(), dejitterMs: 0 });
        await eventually('speech', () => isHearing(phone), 10_000);
        await sleep(afterMs);
        void say(phone, QUESTIONS.rent);
        await eventually('silence', () => phone.ear.soundUntil < clock.now() - 100, 10_000);
        const said = model.sessions.at(-1)?.items.find(({ role }) => role === 'assistant');
        const heardMs = playedMsOf(phone.heard());
        expect(heardMs).toBeGreaterThan(afterMs);
        expect(said?.isTruncated).toBe(true);
        console.log(afterMs, heardMs, said?.heardMs);
        expect(Math.abs((said?.heardMs ?? 0) - heardMs), `after ${afterMs} ms`).toBeLessThan(TOLERANCE_MS);
        await phone.hangUp();
      }
    },
  );
});

/** How much of a sweep a phone has played: the instant of it that sounded last. */
function playedMsOf(heard: Int16Array): number {
  const end = heard.findLastIndex((sample) => Math.abs(sample) > 500) + 1;
  const begin = end % STEP_SAMPLES;
  const instants = new InstantReader().read(heard.subarray(begin, end));
  const last = instants.findLastIndex((instant) => typeof instant === 'number');
  return Number(instants[last]) + (end - begin) / 8 - (last + 0.5) * 20;
}
