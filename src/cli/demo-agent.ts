import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Clock, systemClock } from '../clock.js';
import { createGateway, type Gateway } from '../gateway.js';
import {
  type FoundPhrase,
  GREETING,
  phrasesIn,
  QUESTIONS,
  SENTENCES,
  SimulatedRealtime,
  type SimulatedRealtimeOptions,
  SOURCES,
  speak,
} from '../model-simulator/index.js';
import { AudioSource } from '../simulator/audio.js';
import { SimulatedTwilio } from '../simulator/carrier.js';
import type { SimulatedPhone } from '../simulator/phone.js';
import { PHONE_RATE } from '../simulator/wav.js';
import { createLog } from '../telemetry/log.js';
import type { DemoFlags } from './demo-local.js';
import { prepareFolder } from './files.js';
import type { Shell } from './shell.js';

const PUBLIC_URL = 'https://gateway.invalid/demo';
const AGENT = 'openai:gpt-realtime';
/** The example's pages and instructions. */
const EXAMPLE = new URL('../../src/agents/examples/phone-rag/', import.meta.url);
/** What the caller asks, and the sentence that only the right page has. */
const ASKED = [
  {
    question: QUESTIONS.saturdays,
    answer: 'On Saturdays we are open from ten until four.',
    page: 'opening-hours',
  },
  { question: QUESTIONS.rent, answer: 'A city bicycle costs fifteen euros a day to rent.', page: 'rental' },
] as const;

/** The caller asks when it has been quiet for so long, and waits at most so long for an answer. */
const PAUSE_MS = 700;
const ANSWER_MS = 20_000;
const LOOK_MS = 50;
/** Least speech that counts as an answer of a model whose voice is not known. */
const LEAST_ANSWER_MS = 1_000;

/** One question, and what came back. */
interface Answered {
  readonly question: string;
  /** Sentences of the answer as recognised in the caller's ear; none of a model whose voice is not known. */
  readonly heard: readonly string[];
  readonly heardMs: number;
  /** From the end of the question to the first sound of the answer, in milliseconds. */
  readonly afterMs: number | undefined;
  readonly fault: string | undefined;
}

/**
 * A simulated phone asks an agent, which answers from a knowledge base.
 * @param simulated how the model behaves that is asked without a key; its clock is that of the whole demo
 */
export async function runAgentDemo(
  flags: DemoFlags,
  shell: Shell,
  simulated: Omit<SimulatedRealtimeOptions, 'key'> = {},
): Promise<boolean> {
  const { OPENAI_API_KEY: ownKey, OPENAI_BASE_URL: ownUrl } = shell.env;
  const key = ownKey || randomBytes(16).toString('hex');
  const model = ownKey ? undefined : new SimulatedRealtime({ ...simulated, key });
  try {
    const url = model === undefined ? ownUrl : await model.listen();
    if (flags.record !== undefined) prepareFolder('--record', flags.record);
    const { clock = systemClock } = simulated;
    const answers = await converse({ flags, key, url, isKnown: model !== undefined, clock }, shell);
    const faults = answers.flatMap(({ fault }) => fault ?? []);
    if (answers.length <= ASKED.length) faults.push('the call ended before all questions were asked');
    if (flags.json) shell.console.log(JSON.stringify({ model: nameOf(model), answers, faults }, null, 2));
    else {
      shell.console.log(
        faults.length === 0
          ? `\nEvery question was answered from the knowledge base${model === undefined ? '' : ', proved by the audio that came back'}.`
          : `\nFAILED: ${faults.join('; ')}`,
      );
    }
    return faults.length === 0;
  } finally {
    await model?.close();
  }
}

/** What is asked of whom. */
interface Demo {
  readonly flags: DemoFlags;
  readonly key: string;
  readonly url: string | undefined;
  /** Whether the model speaks with a voice whose sentences are recognised. */
  readonly isKnown: boolean;
  readonly clock: Clock;
}

async function converse(demo: Demo, shell: Shell): Promise<Answered[]> {
  const { flags, key: openaiKey, url: openaiUrl, isKnown, clock } = demo;
  const say = (text: string) => {
    if (!flags.json) shell.console.log(text);
  };
  const accountSid = `AC${randomBytes(16).toString('hex')}`;
  const authToken = randomBytes(16).toString('hex');
  const gateway = createGateway({
    maxLoopDelayMs: 0,
    maxCpuPercent: 0,
    port: 0,
    publicUrl: PUBLIC_URL,
    twilio: { accountSid, authTokens: [authToken] },
    agent: AGENT,
    agents: {
      openaiKey,
      ...(openaiUrl ? { openaiUrl } : {}),
      instructions: readFileSync(new URL('instructions.md', EXAMPLE), 'utf8'),
      greeting: `Say: "${GREETING}"`,
      // Ringback is no greeting.
      ring: 'silence',
      knowledge: fileURLToPath(new URL('knowledge', EXAMPLE)),
    },
    log: createLog('warn', shell.stderr),
    clock,
  });
  const { url } = await gateway.listen();
  const dial = { publicUrl: PUBLIC_URL, target: url };
  const twilio = new SimulatedTwilio({ accountSid, authToken, dial, clock });
  try {
    say(
      isKnown
        ? 'A simulated phone calls an agent; its model is simulated, too.'
        : `A simulated phone calls ${AGENT}.`,
    );
    const phone = twilio.placeCall({
      from: '+15550001111',
      to: '+15552223333',
      webhookUrl: `${PUBLIC_URL}/twilio/voice`,
      record: true,
      listens: true,
    });
    await phone.started;
    const answers = [await listen(phone, gateway, demo, undefined)];
    tell(answers[0] as Answered, say);
    for (const asked of ASKED) {
      // Without an agent the caller has heard an apology.
      if (gateway.stats().activeCalls === 0) break;
      say(`caller: ${asked.question}`);
      const question = new AudioSource('question', speak(asked.question) as Int16Array);
      // A call that ends meanwhile leaves the question unsaid.
      await Promise.race([phone.say(question), phone.ended]);
      const answer = await listen(phone, gateway, demo, asked);
      answers.push(answer);
      tell(answer, say);
    }
    if (flags.record !== undefined) phone.saveRecording(join(flags.record, `${phone.callSid}.wav`));
    await phone.hangUp();
    return answers;
  } finally {
    await twilio.close();
    await gateway.close();
  }
}

/** Waits until the agent has spoken and paused. @param asked absent for the greeting */
async function listen(
  phone: SimulatedPhone,
  gateway: Gateway,
  { isKnown, clock }: Demo,
  asked: (typeof ASKED)[number] | undefined,
): Promise<Answered> {
  const begun = clock.now();
  const from = phone.heard().length;
  let first: number | undefined;
  for (;;) {
    await clock.sleep(LOOK_MS);
    const now = clock.now();
    const isHeard = phone.ear.soundUntil > now - PAUSE_MS;
    if (phone.ear.soundUntil > begun + LOOK_MS) first ??= now;
    if (first !== undefined && !isHeard) break;
    if (now - begun > ANSWER_MS || gateway.stats().activeCalls === 0) break;
  }
  const pcm = phone.heard().slice(from);
  const found: readonly FoundPhrase[] = isKnown ? phrasesIn(pcm) : [];
  const heard = found.map(({ text }) => text);
  const heardMs = Math.round((pcm.length * 1_000) / PHONE_RATE);
  const wanted = asked === undefined ? [GREETING] : [asked.answer, SOURCES[asked.page]];
  const spokenMs = first === undefined ? 0 : clock.now() - first;
  const missing = isKnown ? wanted.filter((text) => !heard.includes(text)) : [];
  const wrong = isKnown ? heard.filter((text) => !wanted.includes(text) && isAnswer(text)) : [];
  const question = asked?.question ?? 'the greeting';
  let fault: string | undefined;
  if (spokenMs < LEAST_ANSWER_MS) fault = `no answer to "${question}"`;
  else if (missing.length > 0) fault = `"${missing.join(' ')}" was not heard for "${question}"`;
  else if (wrong.length > 0) fault = `"${wrong.join(' ')}" was heard for "${question}"`;
  return {
    question,
    heard,
    heardMs,
    afterMs: first === undefined ? undefined : Math.round(first - begun),
    fault,
  };
}

/** Whether a sentence is the answer to some question. */
function isAnswer(text: string): boolean {
  return SENTENCES.some((sentence) => sentence.text === text && sentence.page !== undefined);
}

function tell({ heard, heardMs, afterMs, fault }: Answered, say: (text: string) => void): void {
  const words = heard.length === 0 ? `(${(heardMs / 1_000).toFixed(1)} s of audio)` : heard.join(' ');
  say(
    `agent:  ${fault === undefined ? words : `${words} <- ${fault}`}${afterMs === undefined ? '' : ` [after ${afterMs} ms]`}`,
  );
}

function nameOf(model: SimulatedRealtime | undefined): string {
  return model === undefined ? AGENT : `${AGENT}, simulated`;
}
