import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import type { AgentTool } from '../../src/agents/index.js';
import type { GatewayOptions } from '../../src/index.js';
import {
  type ItemRecord,
  phrasesIn,
  type RealtimeFaults,
  SimulatedRealtime,
  type SimulatedRealtimeOptions,
  speak,
} from '../../src/model-simulator/index.js';
import { GREETING, KEY_PRESSED, QUESTIONS, UNKNOWN } from '../../src/model-simulator/sentences.js';
import { AudioSource, type SimulatedPhone } from '../../src/simulator/index.js';
import { APOLOGY, CALL, isHearing, startWithAgent } from '../support/agent.js';
import { AUTH_TOKEN } from '../support/caller.js';
import { playedMsOf } from '../support/played.js';
import { clock, eventually, sleep, virtualTime } from '../support/time.js';

virtualTime();

const KEY = 'sk-a-key-of-the-test';
const ANSWER = 'A standard repair takes two working days.';
/** A caller hears an apology at most so long after the model is gone. */
const APOLOGY_MS = 5_000;
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

/** Looks questions up, as the knowledge of an agent does. */
const search: AgentTool = {
  name: 'search_knowledge',
  description: 'Searches the pages of the company.',
  parameters: { type: 'object', properties: { query: { type: 'string' } } },
  run: ({ query }) => ({ page: 'repairs', text: ANSWER, query }),
};

function capturedLog() {
  const lines: string[] = [];
  return { lines, log: pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) }) };
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
        expect(Math.abs((said?.heardMs ?? 0) - heardMs), `after ${afterMs} ms`).toBeLessThan(TOLERANCE_MS);
        await phone.hangUp();
      }
    },
  );

  it('answers a caller who speaks into its greeting at once', async () => {
    const { phone, model } = await callModel();
    await say(phone, QUESTIONS.repair);
    await heardOut(phone);
    expect(heardBy(phone)).toEqual([QUESTIONS.repair]);
    expect(model.sessions[0]?.receivedCounts).not.toHaveProperty('invalid');
  });

  it('hears no more of a response that goes on after it was interrupted', async () => {
    const sweep = AudioSource.sweep().pcm;
    const { phone, model } = await callModel({
      reply: () => ({ say: [{ text: 'word '.repeat(96), pcm: sweep }] }),
      faults: { ignoreCancelMs: 1_000 },
    });
    await eventually('speech', () => isHearing(phone), 10_000);
    await sleep(1_000);
    await say(phone, QUESTIONS.rent);
    expect(isHearing(phone)).toBe(false);
    const [said] = model.sessions[0]?.items ?? [];
    expect(said?.isTruncated).toBe(true);
    expect(said?.heardMs).toBeLessThan(2_500);
  });

  it('answers with what its functions find', async () => {
    const { phone, model } = await callModel({}, { agents: { tools: [search] } });
    await heardOut(phone);
    await say(phone, QUESTIONS.repair);
    await heardOut(phone, 2_000);
    expect(heardBy(phone).slice(0, 2)).toEqual([GREETING, ANSWER]);
    const [session] = model.sessions;
    expect(session?.items.map(({ type }) => type)).toContain('function_call_output');
    expect(session?.receivedCounts).not.toHaveProperty('invalid');
  });

  it.each<[string, AgentTool['run'], string]>([
    ['throws', () => Promise.reject(new Error('the password is 1234')), 'The function failed.'],
    ['never ends', () => new Promise(() => {}), 'The function took too long.'],
    ['returns nothing', () => undefined, 'Done.'],
    ['returns too much', () => 'x'.repeat(100_000), `${'x'.repeat(16_384)}…`],
  ])('answers when a function %s', async (_, run, output) => {
    const { lines, log } = capturedLog();
    const { phone, model } = await callModel(
      {
        reply: ({ items }) =>
          items.length === 0 ? { call: { name: search.name, args: {} } } : { say: [UNKNOWN] },
      },
      { agents: { tools: [{ ...search, run }] }, log },
    );
    await heardOut(phone);
    expect(heardBy(phone)).toEqual([UNKNOWN]);
    expect(model.sessions[0]?.items.find(({ type }) => type === 'function_call_output')?.text).toBe(output);
    expect(lines.filter((line) => line.includes(`tool ${search.name}`))).toHaveLength(
      /Done|x/.test(output) ? 0 : 1,
    );
  });

  it('is not asked to answer with a result that comes after the caller has interrupted', async () => {
    const { phone, model } = await callModel(
      {
        reply: ({ items }) => {
          if (items.length === 0) return { call: { name: search.name, args: {} } };
          return { say: [items.at(-1)?.type === 'message' ? GREETING : UNKNOWN] };
        },
      },
      { agents: { tools: [{ ...search, run: () => sleep(2_500) }] } },
    );
    await sleep(1_000);
    await say(phone, QUESTIONS.rent);
    await heardOut(phone, 2_000);
    expect(heardBy(phone)).toEqual([GREETING]);
    const [session] = model.sessions;
    expect(session?.items.some(({ type }) => type === 'function_call_output')).toBe(true);
    expect(session?.receivedCounts['response.create']).toBe(1);
  });

  it('is given up when it calls functions without end, and the caller hears an apology', async () => {
    let runs = 0;
    const run = () => {
      runs += 1;
      return 'Nothing.';
    };
    const { phone } = await callModel(
      { reply: () => ({ call: { name: search.name, args: {} } }) },
      { agents: { tools: [{ ...search, run }] } },
    );
    expect((await phone.ended).said).toEqual([APOLOGY.say]);
    expect(runs).toBeLessThanOrEqual(3 * 16);
  });

  it('ends the call and transfers it after its last words', async () => {
    const reply = (name: string, args: object): NonNullable<SimulatedRealtimeOptions['reply']> => {
      return ({ items }) =>
        items.length === 0 ? { say: [GREETING], call: { name, args: { ...args } } } : {};
    };
    const ended = await callModel({ reply: reply('hang_up', {}) });
    expect((await ended.phone.ended).status).toBe('completed');
    expect(heardBy(ended.phone)).toEqual([GREETING]);
    const to = '+15557770000';
    const moved = await callModel(
      { reply: reply('transfer_call', { to }) },
      { agents: { transferTo: [to] } },
    );
    expect((await moved.phone.ended).dialled).toEqual([to]);
    expect(heardBy(moved.phone)).toEqual([GREETING]);
  });

  it('is told the keys that the caller presses, those pressed together at once', async () => {
    const { phone, model } = await callModel();
    await heardOut(phone);
    phone.dtmf('1');
    await sleep(400);
    phone.dtmf('2');
    await heardOut(phone);
    phone.dtmf('#');
    await heardOut(phone);
    expect(heardBy(phone)).toEqual([GREETING, KEY_PRESSED, KEY_PRESSED]);
    expect(textsOf(model.sessions[0]?.items)).toEqual([
      GREETING,
      'The caller pressed 12.',
      KEY_PRESSED,
      'The caller pressed #.',
      KEY_PRESSED,
    ]);
  });

  it('is interrupted by a key', async () => {
    const { phone, model } = await callModel({
      reply: ({ items }) =>
        items.length === 0
          ? { say: [{ text: 'word '.repeat(96), pcm: AudioSource.sweep().pcm }] }
          : { say: [KEY_PRESSED] },
    });
    await eventually('speech', () => isHearing(phone), 10_000);
    phone.dtmf('1');
    await heardOut(phone);
    expect(heardBy(phone)).toEqual([KEY_PRESSED]);
    expect(model.sessions[0]?.items[0]?.isTruncated).toBe(true);
    expect(model.sessions[0]?.receivedCounts).not.toHaveProperty('invalid');
  });
});

describe('a connection to the model', () => {
  it.each([1006, 1011, 1012])(
    'that is lost in mid-word with %i is made anew, with the conversation',
    async (code) => {
      const { phone, model } = await callModel();
      await heardOut(phone);
      model.faults = { closeAfter: { ms: 600, code } };
      await say(phone, QUESTIONS.repair);
      await eventually('another session', () => model.sessions.length > 1, 10_000);
      model.faults = {};
      await heardOut(phone);
      const [, second] = model.sessions;
      expect(textsOf(second?.items).slice(0, 2)).toEqual([GREETING, QUESTIONS.repair]);
      // It is asked to go on.
      expect(second?.receivedCounts['response.create']).toBe(1);
      expect(second?.receivedCounts).not.toHaveProperty('invalid');
      await say(phone, QUESTIONS.rent);
      await heardOut(phone);
      expect(heardBy(phone).at(-1)).toBe(QUESTIONS.rent);
    },
  );

  it('that ends with the session is made anew while nobody notices', async () => {
    const { phone, model } = await callModel({ sessionMs: 6_000 });
    await heardOut(phone, 3_000);
    await eventually('another session', () => model.sessions.length > 1, 10_000);
    await sleep(500);
    await say(phone, QUESTIONS.rent);
    await heardOut(phone);
    expect(heardBy(phone)).toEqual([GREETING, QUESTIONS.rent]);
    expect(textsOf(model.sessions[1]?.items).slice(0, 2)).toEqual([GREETING, QUESTIONS.rent]);
  });

  it('may take its time: the caller hears ringback, and a question asked meanwhile is answered', async () => {
    const { phone, model } = await callModel(
      { faults: { sessionDelayMs: 1_900 } },
      { agents: { greeting: '' } },
    );
    await eventually('ringback', () => isHearing(phone));
    await say(phone, QUESTIONS.repair);
    await eventually('a session', () => model.openSessions.length > 0);
    await heardOut(phone);
    expect(heardBy(phone).at(-1)).toBe(QUESTIONS.repair);
  });

  it.each<[string, RealtimeFaults]>([
    ['the key is refused with 401', { refusal: 401 }],
    ['the key is refused on the socket', { refusal: 'socket' }],
    ['the service is overloaded', { refusal: 503 }],
    ['the session never begins', { sessionDelayMs: 60_000 }],
    ['every response fails', { rateLimited: true }],
    ['no response begins', { firstDeltaMs: 60_000 }],
    ['no response gets beyond its first word', { stallAfterMs: 300 }],
    ['every connection is lost at once', { closeAfter: { ms: 100, code: 1006 } }],
  ])('leads to an apology when %s', async (what, faults) => {
    const { phone, model } = await callModel({ faults });
    const began = clock.now();
    const outcome = await phone.ended;
    expect(outcome.said).toEqual([APOLOGY.say]);
    expect(outcome.status).toBe('completed');
    expect(clock.now() - began).toBeLessThan(APOLOGY_MS);
    const isFinal = what.startsWith('the key');
    expect(isFinal ? model.refused : 1).toBe(1);
    await eventually('no session', () => model.openSessions.length === 0);
  });

  it('leads to an apology when the model is unknown', async () => {
    const { phone } = await callModel({}, { prepareCall: () => ({ agent: 'openai:nonsense' }) });
    expect((await phone.ended).said).toEqual([APOLOGY.say]);
  });

  it('is made anew when the model stops in mid-word; if that happens again, an apology follows within five seconds', async () => {
    const { phone, model } = await callModel();
    await heardOut(phone);
    model.faults = { stallAfterMs: 400 };
    await say(phone, QUESTIONS.repair);
    await eventually('the first words', () => isHearing(phone), 10_000);
    const began = clock.now();
    expect((await phone.ended).said).toEqual([APOLOGY.say]);
    expect(clock.now() - began).toBeLessThan(APOLOGY_MS);
    expect(model.sessions.length).toBe(2);
  });

  it('that stops once is made anew, and the model goes on', async () => {
    const { phone, model } = await callModel();
    await heardOut(phone);
    model.faults = { stallAfterMs: 400 };
    await say(phone, QUESTIONS.repair);
    await eventually('another session', () => model.sessions.length > 1, 10_000);
    model.faults = {};
    await heardOut(phone);
    expect(phone.status).toBe('in-progress');
    expect(textsOf(model.sessions[1]?.items)).toContain(QUESTIONS.repair);
  });

  it.each<[string, RealtimeFaults]>([
    ['that are no JSON', { malformed: 3 }],
    ['with half a sample at their end', { oddDeltas: true }],
    ['that come too slowly', { speed: 0.9 }],
  ])('may bring messages %s', async (_, faults) => {
    const { phone, model } = await callModel(
      {},
      { prepareCall: () => ({ agent: { to: 'openai:gpt-realtime', rate: 24_000 } }) },
    );
    await heardOut(phone);
    model.faults = faults;
    await say(phone, QUESTIONS.repair);
    await heardOut(phone);
    model.faults = {};
    await say(phone, QUESTIONS.rent);
    await heardOut(phone);
    expect(heardBy(phone).slice('malformed' in faults ? -1 : -2)).toEqual(
      [QUESTIONS.repair, QUESTIONS.rent].slice('malformed' in faults ? 1 : 0),
    );
    expect(model.sessions).toHaveLength(1);
  });

  it('may bring an answer of a minute and a half at once', async () => {
    const { phone } = await callModel({ faults: { floodMs: 90_000 } });
    await eventually('speech', () => isHearing(phone), 10_000);
    await sleep(85_000);
    expect(isHearing(phone)).toBe(true);
    await phone.hangUp();
  });

  it('may bring a flood: what fits the buffer is heard, and nobody else suffers', async () => {
    const { phone, model, place } = await callModel();
    await heardOut(phone);
    model.faults = { floodMs: 600_000 };
    await say(phone, QUESTIONS.repair);
    await eventually('speech', () => isHearing(phone), 10_000);
    model.faults = {};
    const other = await place(AudioSource.silence());
    await heardOut(other);
    expect(heardBy(other)).toEqual([GREETING]);
    await phone.hangUp();
  });

  it('answers new calls with a new key after a reload', async () => {
    const { gateway, place, model } = await startWithModel({}, { agents: { openaiKey: 'an old key' } });
    expect((await (await place()).ended).said).toEqual([APOLOGY.say]);
    expect(model.refused).toBe(1);
    await gateway.reload({ twilio: { authTokens: [AUTH_TOKEN] }, agents: { openaiKey: KEY } });
    const phone = await place();
    await eventually('a session', () => model.openSessions.length === 1);
    await phone.hangUp();
  });

  it('leaves no key and nothing of what was said in the log', async () => {
    const { lines, log } = capturedLog();
    const { phone, model } = await callModel({}, { log, agents: { tools: [search] } });
    await heardOut(phone);
    await say(phone, QUESTIONS.repair);
    await heardOut(phone);
    phone.dtmf('#739#15#');
    await heardOut(phone);
    model.faults = { refusal: 'socket', closeAfter: { ms: 300, code: 1011 } };
    await say(phone, QUESTIONS.rent);
    expect((await phone.ended).said).toEqual([APOLOGY.say]);
    const text = lines.join('');
    expect(text).toContain('lost the agent');
    for (const secret of [KEY, GREETING, QUESTIONS.repair, QUESTIONS.rent, ANSWER, '#739'])
      expect(text).not.toContain(secret);
  });
});
