/** What the pages on agents tell a reader to write and to run, run as a reader would: each in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { readConfigFile } from '../../src/cli/config-file.js';
import { GREETING, phrasesIn, QUESTIONS, SimulatedRealtime, speak } from '../../src/model-simulator/index.js';
import { AudioSource, type SimulatedPhone, SimulatedTwilio } from '../../src/simulator/index.js';
import { SECRET, startWithAgent } from '../support/agent.js';
import { ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL } from '../support/caller.js';
import { ROOT } from '../support/installed.js';
import { KEY, legUrl } from '../support/leg.js';
import { OpenAiEmbeddings } from '../support/openai-embeddings.js';
import { freePort } from '../support/port.js';
import { snippets } from '../support/snippets.js';
import { clock, eventually } from '../support/time.js';

const MODEL_KEY = 'key-of-the-simulated-model';
const KNOWLEDGE = 'src/agents/examples/phone-rag/knowledge';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** A process of the repository, and what it says. */
class Reader {
  said = '';
  private readonly child: ChildProcess;

  constructor(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.child = spawn(command, [...args], { cwd: ROOT, env: { PATH: process.env.PATH, ...env } });
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.on('data', (chunk) => {
        this.said += chunk;
      });
    closers.push(() => this.child.kill('SIGKILL'));
  }

  /** Runs TypeScript that stands in a page. */
  static ofCode(code: string, env?: Readonly<Record<string, string>>): Reader {
    const folder = mkdtempSync(join(ROOT, 'test', 'shipped', 'page-'));
    closers.push(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, 'page.ts'), code);
    return new Reader(process.execPath, ['--import', 'tsx', join(folder, 'page.ts')], env);
  }

  async says(pattern: RegExp): Promise<RegExpExecArray> {
    await eventually(String(pattern), () => {
      if (this.child.exitCode !== null && !pattern.test(this.said))
        throw new Error(`Expected ${pattern} but received ${this.said}`);
      return pattern.test(this.said);
    });
    return pattern.exec(this.said) as RegExpExecArray;
  }
}

/** The only block of a language in a page that contains a text. */
function block(page: string, language: string, text: string): string {
  const found = snippets(`docs/${page}.md`, language).filter((code) => code.includes(text));
  expect(found, `${page}: ${text}`).toHaveLength(1);
  return found[0] as string;
}

/** The environment of a gateway that a simulated Twilio calls, and that calls. */
async function gatewayEnv() {
  const port = await freePort();
  const env = {
    TWILIO_ACCOUNT_SID: ACCOUNT_SID,
    TWILIO_AUTH_TOKEN: AUTH_TOKEN,
    PUBLIC_URL,
    PORT: String(port),
    MAX_LOOP_DELAY_MS: '0',
    MAX_CPU_PERCENT: '0',
  };
  const dial = { publicUrl: PUBLIC_URL, target: `http://127.0.0.1:${port}` };
  const place = () => {
    const twilio = new SimulatedTwilio({ accountSid: ACCOUNT_SID, authToken: AUTH_TOKEN, dial });
    closers.push(() => twilio.close());
    const phone = twilio.placeCall({
      webhookUrl: `${PUBLIC_URL}/twilio/voice`,
      from: '+15550001111',
      to: '+15552223333',
      record: true,
      listens: true,
    });
    return phone;
  };
  return { env, place };
}

async function simulatedModel(): Promise<string> {
  const model = new SimulatedRealtime({ key: MODEL_KEY });
  closers.push(() => model.close());
  return model.listen();
}

async function hears(phone: SimulatedPhone, text: string): Promise<void> {
  let lookedAt = 0;
  await eventually(
    `"${text}" at the phone`,
    () => {
      // Each look takes its time.
      if (clock.now() - lookedAt < 1_000) return false;
      lookedAt = clock.now();
      return phrasesIn(phone.heard()).some((phrase) => phrase.text === text);
    },
    20_000,
  );
}

it('agents.md: an agent of your own is served, dialled, interrupted, and obeys keys', async () => {
  const code = block('agents', 'ts', 'serveAgent').replace('port: 8080', 'port: 0');
  const agent = Reader.ofCode(code, { WEBHOOK_SECRET: SECRET });
  const [, url = ''] = await agent.says(/trunkline serve --agent (ws:\S+)/);
  const { place } = await startWithAgent(url, { agents: { secret: SECRET } });
  const phone = await place();
  await agent.says(/call from \+1555/);
  void phone.say(AudioSource.tone(500, -3));
  await agent.says(/heard until \d+ ms/);
  phone.dtmf('5');
  expect((await phone.ended).status).toBe('completed');
});

it("agents.md: an agent in the gateway's process answers", async () => {
  const baseUrl = await simulatedModel();
  const { env, place } = await gatewayEnv();
  const code = block('agents', 'ts', 'front-desk').replace(
    'instructions:',
    `baseUrl: '${baseUrl}', instructions:`,
  );
  const gateway = Reader.ofCode(code, { ...env, OPENAI_API_KEY: MODEL_KEY });
  await gateway.says(/listening/);
  const phone = place();
  await phone.started;
  await hears(phone, GREETING);
});

it('agents.md: the first command answers calls with a model', async () => {
  const { env, place } = await gatewayEnv();
  const [line = ''] = block('agents', 'sh', 'serve --agent openai').split('\n');
  const command = line
    .replace(/\s+#.*/, '')
    .replace('sk-…', MODEL_KEY)
    .replace('npx trunkline', 'exec node dist/cli/trunkline.js');
  const gateway = new Reader('bash', ['-c', `export ${command.replace(' exec', '; exec')}`], {
    ...env,
    OPENAI_BASE_URL: await simulatedModel(),
  });
  await gateway.says(/listening/);
  const phone = place();
  await phone.started;
  await hears(phone, GREETING);
});

it('agents.md: the configuration file names an agent for each number', () => {
  const folder = mkdtempSync(join(tmpdir(), 'trunkline-page-'));
  closers.push(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'gateway.yaml'), block('agents', 'yaml', 'numbers:'));
  const { mistakes, settings, plan } = readConfigFile(join(folder, 'gateway.yaml'), '--config');
  expect(mistakes).toEqual([]);
  expect(settings.AGENT).toBe('openai:gpt-realtime');
  const decide = (to: string) => plan?.decide({ to, direction: 'inbound' });
  expect(decide('+15550100')).toEqual({ agent: 'wss://agent.example.com/sales' });
  expect(decide('+15550101')).toMatchObject({ agent: { to: 'openai:gpt-realtime', voice: 'marin' } });
  expect(decide('+15550102')).toEqual({ agent: false, room: 'team' });
});

it('raw-legs.md: a program joins a call and echoes', async () => {
  const { place, gateway, url } = await startWithAgent(undefined, {
    controlApiKey: KEY,
    prepareCall: () => ({ room: 'desk' }),
  });
  const phone = await place(AudioSource.tone(500, -10));
  const given = `const url = ${JSON.stringify(legUrl(url, 'desk'))}; const key = ${JSON.stringify(KEY)};\n`;
  Reader.ofCode(given + block('raw-legs', 'ts', 'joinCall'));
  // Without the program the caller would hear the echo agent: first it is silent, then it is heard again.
  await eventually('the program', () => (gateway.stats().latency.legHeard.count ?? 0) > 50);
  const at = clock.now();
  await eventually('the echo', () => phone.ear.soundUntil > at + 500);
  await phone.hangUp();
});

it('phone-rag.md: the settings of the page answer a spoken question from the example', async () => {
  const { env, place } = await gatewayEnv();
  const settings = block('phone-rag', 'sh', 'export AGENT_KNOWLEDGE').replace('sk-…', MODEL_KEY);
  const gateway = new Reader('bash', ['-c', `${settings}\nexec node dist/cli/trunkline.js serve`], {
    ...env,
    OPENAI_BASE_URL: await simulatedModel(),
  });
  await gateway.says(/listening/);
  const phone = place();
  await phone.started;
  await hears(phone, GREETING);
  await phone.say(new AudioSource('question', speak(QUESTIONS.repair) as Int16Array));
  await hears(phone, 'A standard repair takes two working days.');
});

it('phone-rag.md: embeddings find passages by meaning', async () => {
  const embeddings = await OpenAiEmbeddings.start(MODEL_KEY, [['bicycle', 'bike']]);
  closers.push(() => embeddings.close());
  const { env } = await gatewayEnv();
  const folder = mkdtempSync(join(tmpdir(), 'trunkline-vectors-'));
  closers.push(() => rmSync(folder, { recursive: true }));
  const code = block('phone-rag', 'ts', 'openaiEmbeddings')
    .replace("loadKnowledge('documents'", `loadKnowledge('${KNOWLEDGE}'`)
    .replace('openaiEmbeddings({', `openaiEmbeddings({ baseUrl: '${embeddings.url}',`)
    .replace("'documents.vectors'", JSON.stringify(join(folder, 'documents.vectors')));
  const gateway = Reader.ofCode(code, { ...env, OPENAI_API_KEY: MODEL_KEY, AGENT: 'openai:gpt-realtime' });
  await gateway.says(/listening/);
  expect(embeddings.asked.flat().length).toBeGreaterThan(4);
});

it('phone-rag.md: a tool of your own runs', async () => {
  const call = "await repairStatus.run({ ticket: '1042' }, { facts: { callId: 'one' } } as never)";
  const reader = Reader.ofCode(
    `${block('phone-rag', 'ts', 'repairStatus')}\nconsole.log(JSON.stringify(${call}));`,
  );
  await reader.says(/call one asks for ticket 1042\n\{"ready":false,"day":"Thursday"\}/);
});
