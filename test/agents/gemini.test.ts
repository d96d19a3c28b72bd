import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import type { AgentTool } from '../../src/agents/index.js';
import type { GatewayOptions } from '../../src/index.js';
import { createResampler } from '../../src/media/rate-converter.js';
import { phrasesIn, speak } from '../../src/model-simulator/index.js';
import { QUESTIONS } from '../../src/model-simulator/sentences.js';
import { AudioSource, type SimulatedPhone } from '../../src/simulator/index.js';
import { APOLOGY, CALL, isHearing, startWithAgent } from '../support/agent.js';
import { type GeminiFaults, GeminiLive, type GeminiOptions } from '../support/gemini-live.js';
import { echoMind, type GeminiMind } from '../support/gemini-mind.js';
import { playedMsOf } from '../support/played.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

const KEY = 'a-gemini-key-of-the-test';
const AGENT = 'gemini:gemini-3.8-live';
/** The double says a word in so much time. */
const WORD_MS = 400;

const models: GeminiLive[] = [];
afterEach(async () => {
  for (const model of models.splice(0)) await model.close();
});

/** A gateway whose calls a double of Gemini answers. */
async function startWithModel(
  options: Partial<GeminiOptions> = {},
  { agents, ...gateway }: GatewayOptions = {},
  faults: GeminiFaults = {},
) {
  const model = await GeminiLive.start({ clock, key: KEY, ...options });
  models.push(model);
  Object.assign(model.faults, faults);
  const geminiUrl = model.baseUrl.replace('ws:', 'http:');
  const started = await startWithAgent(AGENT, {
    ...gateway,
    agents: { geminiKey: KEY, geminiUrl, greeting: 'Say hello to them.', ...agents },
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

const search: AgentTool = {
  name: 'search_knowledge',
  description: 'Searches the pages of the company.',
  parameters: { type: 'object', properties: { query: { type: 'string' } } },
  run: ({ query }) => ({ page: 'repairs', query }),
};

/** Looks something up instead of a greeting. */
const asking: GeminiMind = {
  reply: (heard, session) =>
    session.input.kind === 'text'
      ? { call: { name: search.name, args: { query: 'repair' } } }
      : echoMind.reply(heard, session),
};

const heardBy = (phone: SimulatedPhone) => phrasesIn(phone.heard()).map(({ text }) => text);

describe('a model of Gemini', () => {
  it('greets the caller and answers what they say', async () => {
    const { phone, model } = await callModel();
    await heardOut(phone);
    await say(phone, QUESTIONS.repair);
    await heardOut(phone);
    expect(heardBy(phone)).toEqual([QUESTIONS.repair]);
    const [session] = model.sessions;
    expect(
      session?.turns.map(({ kind, isInterrupted, isComplete }) => [kind, isInterrupted, isComplete]),
    ).toEqual([
      ['text', false, true],
      ['speech', false, true],
    ]);
    await phone.hangUp();
    await eventually('the end of the session', () => session?.closed !== undefined);
  });

  it('is set up as told, and waits for the caller if its greeting is empty', async () => {
    const agents = { greeting: '', instructions: 'Be brief.', voice: 'Kore', tools: [search] };
    const { phone, model } = await callModel({}, { agents });
    await sleep(2_000);
    expect(isHearing(phone)).toBe(false);
    expect(model.session.setup).toMatchObject({
      model: 'models/gemini-3.8-live',
      generationConfig: { speechConfig: { voiceConfig: { prebuiltVoiceConfig: { voiceName: 'Kore' } } } },
      systemInstruction: { parts: [{ text: 'Be brief.' }] },
    });
    expect(model.session.tools.map(({ name }) => name)).toEqual(['hang_up', search.name]);
    await say(phone, QUESTIONS.rent);
    await heardOut(phone);
    expect(heardBy(phone)).toEqual([QUESTIONS.rent]);
  });

  it.each([400, 1_300, 3_100])(
    'is silent once it is interrupted after %i ms; a later session knows what was heard',
    async (afterMs) => {
      const { twilio, model } = await startWithModel({
        mind: saying(await audioOf(AudioSource.sweep().pcm)),
      });
      // Its recording is what it plays at that moment.
      const phone = twilio.placeCall({ ...CALL, audio: AudioSource.silence(), dejitterMs: 0 });
      await eventually('speech', () => isHearing(phone), 10_000);
      await sleep(afterMs);
      void say(phone, QUESTIONS.rent);
      await eventually('silence', () => phone.ear.soundUntil < clock.now() - 100, 10_000);
      const heardMs = playedMsOf(phone.heard());
      expect(model.session.turns[0]?.isInterrupted).toBe(true);
      expect(heardMs).toBeLessThan(afterMs + 1_000);
      // The session is lost, and cannot be resumed.
      model.sessions.length = 0;
      model.cut();
      await eventually('another session', () => model.sessions.length > 0, 10_000);
      await sleep(200);
      const said = model.session.history.find(({ role }) => role === 'model')?.text ?? '';
      expect(Math.abs(said.split(' ').length * WORD_MS - heardMs)).toBeLessThan(1.5 * WORD_MS);
    },
  );

  it('answers with what its functions find', async () => {
    const { phone, model } = await callModel({ mind: asking }, { agents: { tools: [search] } });
    await heardOut(phone);
    expect(model.session.received.responses).toMatchObject([
      { name: search.name, response: { output: JSON.stringify({ page: 'repairs', query: 'repair' }) } },
    ]);
    expect(model.session.turns.at(-1)?.isComplete).toBe(true);
  });

  it('of the generation 2.5 hears nothing while a function runs, which would close its connection', async () => {
    const { phone, model } = await callModel(
      { mind: asking },
      {
        agents: { tools: [{ ...search, run: () => sleep(1_000) }] },
        prepareCall: () => ({ agent: 'gemini:gemini-2.5-flash-native-audio-latest' }),
      },
      { refuseAudioDuringCall: true },
    );
    await heardOut(phone);
    expect(model.session.received).toMatchObject({ connections: 1, responses: [{ name: search.name }] });
  });

  it('is not told the result of a function that the caller has interrupted', async () => {
    const { phone, model } = await callModel(
      { mind: asking },
      { agents: { tools: [{ ...search, run: () => sleep(3_000) }] } },
    );
    await sleep(1_500);
    await say(phone, QUESTIONS.rent);
    await heardOut(phone, 3_000);
    expect(heardBy(phone)).toEqual([QUESTIONS.rent]);
    expect(model.session.cancelled).toHaveLength(1);
    expect(model.session.received).toMatchObject({ responses: [], strayResponses: [], connections: 1 });
  });

  it('is told the keys that the caller presses', async () => {
    const { phone, model } = await callModel();
    await eventually('speech', () => isHearing(phone), 10_000);
    phone.dtmf('1');
    await sleep(300);
    phone.dtmf('2');
    await heardOut(phone, 2_500);
    expect(model.session.received.text.slice(1)).toEqual(['The caller pressed 12.']);
    expect(model.session.turns.map(({ isComplete }) => isComplete)).toEqual([true, true]);
  });
});

describe('a connection to Gemini', () => {
  it('that is announced to end is made anew, in the same session, while nobody notices', async () => {
    const { phone, model } = await callModel();
    await heardOut(phone);
    await say(phone, QUESTIONS.repair);
    await eventually('speech', () => isHearing(phone), 10_000);
    model.goAway(20_000);
    await heardOut(phone);
    await say(phone, QUESTIONS.rent);
    await heardOut(phone);
    expect(heardBy(phone)).toEqual([QUESTIONS.repair, QUESTIONS.rent]);
    expect(model.session.received.connections).toBe(2);
    expect(model.session.received.text).toHaveLength(1);
    expect(model.sessions).toHaveLength(1);
  });

  it('that cannot be resumed yet is made anew, with the conversation', async () => {
    const { phone, model } = await callModel({ heldMs: 60_000 });
    await heardOut(phone);
    await say(phone, QUESTIONS.repair);
    await heardOut(phone, 3_000);
    model.cut();
    await eventually('another session', () => model.sessions.length > 1, 10_000);
    await sleep(200);
    expect(model.session.history.map(({ role }) => role)).toEqual(['model', 'user', 'model']);
    await say(phone, QUESTIONS.rent);
    await heardOut(phone);
    expect(heardBy(phone)).toEqual([QUESTIONS.repair, QUESTIONS.rent]);
  });

  it('that is lost in mid-word is resumed, and the model is asked to go on', async () => {
    const { phone, model } = await callModel({ heldMs: 0 });
    await heardOut(phone);
    await say(phone, QUESTIONS.repair);
    await eventually('the first words', () => (model.session.turns[1]?.sentMs ?? 0) > 0);
    model.cut();
    await eventually('another connection', () => model.session.received.connections > 1, 10_000);
    await heardOut(phone);
    expect(model.sessions).toHaveLength(1);
    expect(model.session.received.text.at(-1)).toContain('The connection was lost');
    expect(model.session.turns.at(-1)?.isComplete).toBe(true);
  });

  it('may take its time: the caller hears ringback, and a question asked meanwhile is answered', async () => {
    const { phone, model } = await callModel({}, { agents: { greeting: '' } }, { setupMs: 1_800 });
    await eventually('ringback', () => isHearing(phone));
    await say(phone, QUESTIONS.repair);
    await eventually('a session', () => model.sessions.length > 0);
    await heardOut(phone);
    expect(heardBy(phone).at(-1)).toBe(QUESTIONS.repair);
  });

  it.each<[string, GeminiFaults]>([
    ['the key is refused', { refuseKey: true }],
    ['the session never begins', { setupMs: 60_000 }],
    ['no answer begins', { firstAudioMs: 60_000 }],
    ['no answer gets beyond its first word', { stopAfterMs: 300 }],
    ['every connection is lost', { closeAfterMs: 100 }],
  ])('leads to an apology when %s', async (what, faults) => {
    const { phone, model } = await callModel({}, {}, faults);
    expect((await phone.ended).said).toEqual([APOLOGY.say]);
    if (what.startsWith('the key')) expect(model.refused.keys).toBe(1);
    await eventually('no connection', () => model.openConnections === 0);
  });

  it('leads to an apology when the model is unknown', async () => {
    const { phone } = await callModel({}, { prepareCall: () => ({ agent: 'gemini:nonsense' }) });
    expect((await phone.ended).said).toEqual([APOLOGY.say]);
  });

  it('leads to an apology when the model hears a question and says nothing, twice', async () => {
    const { phone, model } = await callModel({}, { agents: { greeting: '' } }, { firstAudioMs: 600_000 });
    await sleep(500);
    await say(phone, QUESTIONS.repair);
    expect((await phone.ended).said).toEqual([APOLOGY.say]);
    expect(model.session.received.text.at(-1)).toContain('The connection was lost');
  });

  it.each<[string, GeminiFaults]>([
    ['that are no JSON', { malformed: true }],
    ['with half a sample at their end', { oddBytes: true }],
  ])('may bring messages %s', async (_, faults) => {
    const { phone, model } = await callModel({}, { agents: { greeting: '' } }, faults);
    await sleep(1_000);
    await say(phone, QUESTIONS.repair);
    await heardOut(phone);
    expect(heardBy(phone)).toEqual([QUESTIONS.repair]);
    expect(model.session.received.connections).toBe(1);
  });

  it('may bring three minutes at once', async () => {
    const { phone, model, place } = await callModel({}, {}, { floodMs: 180_000 });
    await eventually('speech', () => isHearing(phone), 10_000);
    model.faults.floodMs = undefined;
    const other = await place(AudioSource.silence());
    await heardOut(other);
    expect(phone.status).toBe('in-progress');
    await phone.hangUp();
  });

  it('may bring a flood, which costs its own call only', async () => {
    const { phone, model, place } = await callModel({}, {}, { floodMs: 600_000 });
    expect((await phone.ended).said).toEqual([APOLOGY.say]);
    model.faults.floodMs = undefined;
    const other = await place(AudioSource.silence());
    await heardOut(other);
    await other.hangUp();
  });

  it('leaves no key and nothing of what was said in the log', async () => {
    const lines: string[] = [];
    const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
    const { phone, model } = await callModel({}, { log });
    await heardOut(phone);
    phone.dtmf('#739#15#');
    await heardOut(phone);
    model.faults.refuseKey = true;
    model.cut();
    expect((await phone.ended).said).toEqual([APOLOGY.say]);
    const text = lines.join('');
    expect(text).toContain('lost the agent');
    for (const secret of [KEY, 'Say hello', '#739', 'w1']) expect(text).not.toContain(secret);
  });
});

/** From 8 kHz to what the model says. */
async function audioOf(pcm: Int16Array): Promise<Int16Array> {
  const resampler = await createResampler(8_000, 24_000);
  const audio = resampler.process(pcm);
  resampler.close();
  return audio;
}

/** Says this at first, with a word for every 400 ms, and then repeats what it hears. */
function saying(audio: Int16Array): GeminiMind {
  const count = Math.round(audio.length / 24 / WORD_MS);
  const transcript = Array.from({ length: count }, (_, n) => `w${n + 10}`).join(' ');
  return {
    reply: (heard, session) =>
      session.turns.length > 1 ? echoMind.reply(heard, session) : { audio, transcript },
  };
}
