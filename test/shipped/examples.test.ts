import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SimulatedRealtime } from '../../src/model-simulator/openai-realtime.js';
import { phrasesIn, speak } from '../../src/model-simulator/phrases.js';
import { GREETING, QUESTIONS, SOURCES } from '../../src/model-simulator/sentences.js';
import { AudioSource, type SimulatedPhone, SimulatedTwilio, sendWebhook } from '../../src/simulator/index.js';
import { ACCOUNT_SID, upgradeStatus } from '../support/caller.js';
import { freePort } from '../support/port.js';
import { snippets } from '../support/snippets.js';
import { eventually, sleep } from '../support/time.js';

const AUTH_TOKEN = 'token-of-the-examples';
const PUBLIC_URL = 'https://voice.example.com/edge';
const root = fileURLToPath(new URL('../..', import.meta.url));

let server: ChildProcess | undefined;
let said = '';
afterEach(() => {
  server?.kill();
  server = undefined;
  said = '';
});

/**
 * Starts an example as a user does, behind an imagined proxy that takes `/edge` off.
 * @param ready what it prints when it listens
 */
async function start(
  file: string,
  ready = 'ready',
  env: Readonly<Record<string, string>> = {},
  args: readonly string[] = [],
): Promise<string> {
  const port = Number(env.PORT ?? (await freePort()));
  const child = spawn(process.execPath, ['--import', 'tsx', file, ...args], {
    cwd: root,
    env: {
      PATH: process.env.PATH,
      TWILIO_ACCOUNT_SID: ACCOUNT_SID,
      TWILIO_AUTH_TOKEN: AUTH_TOKEN,
      PUBLIC_URL,
      PORT: String(port),
      LOG_LEVEL: 'info',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  server = child;
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += chunk));
  await eventually('the server', () => {
    if (child.exitCode !== null) throw new Error(`Expected a server but received its end: ${said}`);
    return said.includes(ready);
  });
  return `http://127.0.0.1:${port}`;
}

describe.each([
  ['library-express', '/phones/voice', '/phones/media', 60],
  ['library-fastify', '/phones/voice', '/phones/media', 60],
  ['attach-express', '/phones/twilio/voice', '/phones/twilio/media/call/token', 30],
  ['attach-fastify', '/phones/twilio/voice', '/phones/twilio/media/call/token', 30],
])('%s', (name, voice, mediaPath, lines) => {
  const file = `docs/examples/${name}.ts`;

  it(`is written in less than ${lines} lines`, () => {
    expect(readFileSync(`${root}/${file}`, 'utf8').trimEnd().split('\n').length).toBeLessThan(lines);
  });

  it('carries three signed calls, with audio, keys, marks and clears', async () => {
    const target = await start(file);
    const twilio = new SimulatedTwilio({ authToken: AUTH_TOKEN, dial: { publicUrl: PUBLIC_URL, target } });
    try {
      const phones = [1, 2, 3].map((n) =>
        twilio.placeCall({
          webhookUrl: PUBLIC_URL + voice,
          from: `+1206555010${n}`,
          to: '+14155550123',
          audio: AudioSource.speech(),
          record: true,
        }),
      );
      for (const phone of phones) {
        const marks: string[] = [];
        let clears = 0;
        phone.on('mark', (mark) => marks.push(mark));
        phone.on('clear', () => {
          clears += 1;
        });
        const stream = await phone.started;
        await eventually('audio', () => stream.report().framesReceived > 50);
        phone.dtmf('5#');
        await eventually('a mark and a clear', () => marks.includes('key 5') && clears > 0);
      }
      await eventually('what its marks say', () => said.match(/key 5 after [\d.]+ ms/g)?.length === 3);
      for (const phone of phones) {
        const outcome = await phone.hangUp();
        expect(outcome).toMatchObject({ status: 'completed', error: undefined, twilioCode: undefined });
        expect(outcome.streamEnd).toMatchObject({ by: 'stop', code: 1000 });
        const report = phone.report();
        expect(report?.warnings.first).toBeUndefined();
        expect(report?.proof?.received.correlation).toBeGreaterThan(0.9);
        expect(said).toContain(`call ${phone.callSid} from ${phone.from}`);
      }
      await eventually('their ends', () => said.match(/the stream ended: stop/g)?.length === 3);
    } finally {
      await twilio.close();
    }
  });

  it('rejects requests that are not from Twilio', async () => {
    const target = await start(file);
    const forged = { authToken: 'another', dial: { publicUrl: PUBLIC_URL, target } };
    const webhook = await sendWebhook(PUBLIC_URL + voice, { CallSid: 'CA1' }, forged);
    expect(webhook.status).toBe(403);
    const media = target.replace('http', 'ws') + mediaPath;
    expect((await upgradeStatus(media, { 'x-twilio-signature': `${'A'.repeat(27)}=` })).status).toBe(403);
    expect((await upgradeStatus(media, {})).status).toBe(403);
  });
});

it.each(['attach-express', 'attach-fastify'])('%s leaves all else to its server', async (name) => {
  const target = await start(`docs/examples/${name}.ts`);
  expect(await (await fetch(target)).text()).toBe('my own page');
  expect(await (await fetch(`${target}/phones/health`)).json()).toMatchObject({ server: 'node' });
  expect((await fetch(`${target}/health`)).status).toBe(404);
});

it("the README's snippet answers a signed call, plays the caller back and answers keys", async () => {
  const folder = mkdtempSync(join(tmpdir(), 'trunkline-readme-'));
  const [code = ''] = snippets('README.md', 'ts');
  const file = join(folder, 'snippet.mts');
  writeFileSync(
    file,
    code.replace("'trunkline'", `'${new URL('../../dist/index.js', import.meta.url).href}'`),
  );
  const target = await start(file, '"msg":"listening"');
  const twilio = new SimulatedTwilio({ authToken: AUTH_TOKEN, dial: { publicUrl: PUBLIC_URL, target } });
  try {
    const webhookUrl = `${PUBLIC_URL}/twilio/voice`;
    const audio = AudioSource.speech();
    const phone = twilio.placeCall({
      webhookUrl,
      from: '+12065550101',
      to: '+14155550123',
      audio,
      record: true,
    });
    const stream = await phone.started;
    await eventually('audio', () => stream.report().framesReceived > 50);
    phone.dtmf('5#');
    await eventually('what its mark says', () => /key 5 heard after [\d.]+ ms/.test(said));
    await phone.hangUp();
    expect(phone.report()?.proof?.received.correlation).toBeGreaterThan(0.9);
    expect(said).toMatch(/call [\w-]+ from \+12065550101/);

    const blocked = twilio.placeCall({ webhookUrl, from: '+19005550100', to: '+14155550123', audio });
    await expect(blocked.started).rejects.toThrow();
  } finally {
    await twilio.close();
    rmSync(folder, { recursive: true });
  }
});

describe('phone-rag', () => {
  const FOLDER = 'src/agents/examples/phone-rag';
  const KEY = 'sk-of-the-examples';
  const COLLEAGUE = '+15550002222';
  let model: SimulatedRealtime;
  let env: Record<string, string>;

  beforeEach(async () => {
    model = new SimulatedRealtime({ key: KEY });
    env = { OPENAI_API_KEY: KEY, OPENAI_BASE_URL: await model.listen(), AGENT_TRANSFER_TO: COLLEAGUE };
  });
  afterEach(() => model.close());

  /** The model says this, and then the phone has heard it. */
  async function hears(phone: SimulatedPhone, ...sentences: string[]): Promise<void> {
    const words = sentences.join(' ');
    const last = () => model.sessions[0]?.items.at(-1);
    await eventually(`"${words}" of the model`, () => last()?.text === words, 20_000);
    const isHeard = () => {
      const heard = phrasesIn(phone.heard()).map(({ text }) => text);
      return sentences.every((each, i) => heard.at(i - sentences.length) === each);
    };
    // The model sends faster than the phone plays. Recognising speech takes its time, and would hold up the phone.
    await sleep((last()?.sentMs ?? 0) + 1_000);
    await eventually(`"${words}" at the phone`, () => isHeard() || sleep(2_000).then(() => false), 50);
  }
  const ask = (phone: SimulatedPhone, question: string) =>
    phone.say(new AudioSource(question, speak(question) as Int16Array));

  it('inbound.ts answers spoken questions from its pages, and names them', async () => {
    const target = await start(`${FOLDER}/inbound.ts`, 'ready for calls', env);
    const twilio = new SimulatedTwilio({ authToken: AUTH_TOKEN, dial: { publicUrl: PUBLIC_URL, target } });
    try {
      const phone = twilio.placeCall({
        webhookUrl: `${PUBLIC_URL}/twilio/voice`,
        from: '+12065550101',
        to: '+14155550123',
        audio: AudioSource.silence(),
        record: true,
      });
      await phone.started;
      await hears(phone, GREETING);
      await ask(phone, QUESTIONS.saturdays);
      await hears(phone, 'On Saturdays we are open from ten until four.', SOURCES['opening-hours']);
      await ask(phone, QUESTIONS.rent);
      await hears(phone, 'A city bicycle costs fifteen euros a day to rent.', SOURCES.rental);
      const update = model.sessions[0]?.received.find(({ type }) => type === 'session.update');
      const tools = ['hang_up', 'transfer_call', 'repair_status', 'search_knowledge'];
      expect(update?.event.session).toMatchObject({ tools: tools.map((name) => ({ name })) });
      await phone.hangUp();
      await eventually('its end', () => /call [\w-]+ ended: /.test(said));
    } finally {
      await twilio.close();
    }
  });

  it('outbound.ts calls a number, greets whoever answers, and ends with the call', async () => {
    const port = String(await freePort());
    const dial = { publicUrl: PUBLIC_URL, target: `http://127.0.0.1:${port}` };
    const callee = { does: 'answer', record: true, audio: AudioSource.silence() } as const;
    const twilio = new SimulatedTwilio({ accountSid: ACCOUNT_SID, authToken: AUTH_TOKEN, dial, callee });
    try {
      const answered = once(twilio, 'answered') as Promise<[SimulatedPhone]>;
      const numbers = ['--to', '+12065550101', '--from', '+14155550123'];
      // The simulated model knows no other greeting.
      const greeting = { AGENT_GREETING: `Say: "${GREETING}"` };
      const more = { ...env, ...greeting, PORT: port, TWILIO_API_URL: await twilio.listen() };
      await start(`${FOLDER}/outbound.ts`, 'calling +12065550101', more, numbers);
      const [phone] = await answered;
      await hears(phone, GREETING);
      await ask(phone, QUESTIONS.repair);
      await hears(phone, 'A standard repair takes two working days.', SOURCES.repairs);
      await phone.hangUp();
      await eventually('its end', () => server?.exitCode === 0);
      expect(said).toMatch(/call [\w-]+ ended: /);
    } finally {
      await twilio.close();
    }
  });
});
