import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createGateway } from '../../src/index.js';
import { ACCOUNT_SID, AUTH_TOKEN, Caller, PUBLIC_URL, postForm, voiceParameters } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { Receiver, SECRET } from '../support/receiver.js';
import { eventually, sleep } from '../support/time.js';
import { toneMulaw } from '../support/tone.js';

describe('closing a gateway', () => {
  it('waits for running calls, which continue normally', async () => {
    const { url, gateway } = await startGateway();
    const caller = await Caller.call(url);
    caller.media(toneMulaw(700, 20));
    await eventually('audio', () => caller.mediaCount === 1);
    const closing = gateway.close(10_000);
    caller.media(toneMulaw(700, 20));
    await eventually('audio while draining', () => caller.mediaCount === 2);
    caller.stop();
    await closing;
    await eventually('the close', () => caller.closed !== undefined);
    expect(caller.closed?.code).toBe(1000);
  });

  it('is not delayed by a listener that throws', async () => {
    const { url, gateway } = await startGateway();
    gateway.on('end', () => {
      throw new Error('a fault in the user’s code');
    });
    const caller = await Caller.call(url);
    await eventually('live', () => gateway.calls.listActive()[0]?.state === 'live');
    const closing = gateway.close(60_000);
    caller.stop();
    await closing;
  });

  it('does not wait for ringing phones', async () => {
    const { url, gateway } = await startGateway();
    await postForm(url, '/twilio/voice', voiceParameters());
    await gateway.close(60_000);
    expect(gateway.calls.size).toBe(0);
  });

  it('can be requested twice, and is final', async () => {
    const { gateway } = await startGateway();
    await expect(gateway.listen()).rejects.toMatchObject({ code: 'GW_LISTENING' });
    await Promise.all([gateway.close(), gateway.close()]);
    await expect(gateway.listen()).rejects.toMatchObject({ code: 'GW_LISTENING' });
  });

  it('ends the remaining calls with 1001 after the grace period', async () => {
    const { url, gateway } = await startGateway();
    const caller = await Caller.call(url);
    await eventually('live', () => gateway.calls.listActive()[0]?.state === 'live');
    await gateway.close(100);
    await eventually('the close', () => caller.closed !== undefined);
    expect(caller.closed).toEqual({ code: 1001, reason: 'going away' });
    await expect(fetch(`${url}/health`)).rejects.toThrow();
  });
});

it('a gateway whose port was in use listens once it is free', async () => {
  const { gateway: first, url } = await startGateway();
  const options = {
    port: Number(new URL(url).port),
    logLevel: 'silent',
    twilio: { validate: false },
  } as const;
  const second = createGateway(options);
  await expect(second.listen()).rejects.toMatchObject({ code: 'GW_LISTEN_FAILED' });
  await first.close();
  expect((await second.listen()).port).toBe(options.port);
  await second.close();
});

describe('trunkline serve', () => {
  const KEY = 'a key of the control API';
  const children: ChildProcess[] = [];
  afterEach(() => {
    for (const child of children.splice(0)) if (child.exitCode === null) child.kill('SIGKILL');
  });

  async function serve(env: Record<string, string> = {}) {
    const program = fileURLToPath(new URL('../../dist/cli/trunkline.js', import.meta.url));
    const child = spawn(process.execPath, [program, 'serve'], {
      env: {
        PATH: process.env.PATH,
        PORT: '0',
        PUBLIC_URL,
        TWILIO_ACCOUNT_SID: ACCOUNT_SID,
        TWILIO_AUTH_TOKEN: AUTH_TOKEN,
        DRAIN_SECONDS: '30',
        ...env,
      },
    });
    children.push(child);
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr.on('data', (chunk) => {
      output += chunk;
    });
    const exited = once(child, 'exit') as Promise<[code: number | null, signal: string | null]>;
    const listening = async () => {
      await eventually('listening', () => /"url":"/.test(output) || child.exitCode !== null, 10_000);
      return /"url":"([^"]+)"/.exec(output)?.[1] as string;
    };
    return { child, exited, listening, output: () => output };
  }

  it('rejects new calls on SIGTERM, finishes the running one, and exits with 0', async () => {
    const { child, exited, listening, output } = await serve();
    const url = await listening();
    const caller = await Caller.call(url);
    caller.media(toneMulaw(700, 20));
    await eventually('audio', () => caller.mediaCount === 1);
    child.kill('SIGTERM');
    await eventually('draining', () => output().includes('draining'));
    expect((await fetch(`${url}/ready`)).status).toBe(503);
    caller.media(toneMulaw(700, 20));
    await eventually('audio while draining', () => caller.mediaCount === 2);
    caller.stop();
    expect(await exited).toEqual([0, null]);
    // The token is in the media URL and nowhere else.
    expect(output()).not.toContain(/[A-Za-z0-9_-]{43}(?=")/.exec(caller.twiml)?.[0]);
    expect(output()).not.toContain('+15550001111');
  });

  describe('with a recording, and an event receiver that does not respond,', () => {
    let folder: string;
    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), 'trunkline-drain-'));
    });
    afterEach(() => rmSync(folder, { recursive: true }));

    /** Receives SIGTERM half a second into a call. */
    async function stopping() {
      const receiver = await Receiver.start(() => ({ silent: true }));
      const deadLetterFile = join(folder, 'dead.jsonl');
      const process = await serve({
        CONTROL_API_KEY: KEY,
        RECORD_DIR: folder,
        EVENTS_WEBHOOK_URL: receiver.url,
        EVENTS_DEAD_LETTER_FILE: deadLetterFile,
        WEBHOOK_SECRET: SECRET,
      });
      const url = await process.listening();
      const caller = await Caller.call(url);
      const headers = { authorization: `Bearer ${KEY}` };
      // biome-ignore lint/suspicious/noExplicitAny: the answers are documented elsewhere
      const ask = async (at: string, method = 'GET'): Promise<any> =>
        (await fetch(at, { method, headers })).json();
      const { calls } = await ask(`${url}/v1/calls`);
      const recording = `${url}/v1/calls/${calls[0].callId}/recording`;
      const { file } = await ask(recording, 'POST');
      for (let seconds = 0; seconds < 0.5; ) {
        caller.media(toneMulaw(700, 20));
        ({ seconds } = await ask(recording));
        await sleep(20);
      }
      await eventually('an event on its way', () => receiver.received.length === 1);
      process.child.kill('SIGTERM');
      await eventually('draining', () => process.output().includes('draining'));
      const letters = () => readFileSync(deadLetterFile, 'utf8').split('\n').filter(Boolean);
      return { ...process, caller, wav: () => readFileSync(join(folder, file)), letters };
    }

    it('ends its calls at once on a second signal, and keeps the partial recording and event', async () => {
      const { child, exited, caller, wav, letters } = await stopping();
      const begun = performance.now();
      child.kill('SIGTERM');
      await eventually('the close', () => caller.closed !== undefined);
      expect(caller.closed?.code).toBe(1001);
      expect(await exited).toEqual([1, null]);
      // Otherwise it would wait thirty seconds for its call.
      expect(performance.now() - begun).toBeLessThan(20_000);
      const file = wav();
      const bytes = file.readUInt32LE(40);
      expect(bytes).toBe(file.length - 44);
      // 16 kHz, two channels of two bytes.
      expect(bytes / 64_000).toBeGreaterThanOrEqual(0.5);
      expect(file.subarray(44).some((byte) => byte !== 0)).toBe(true);
      const told = letters().map((line) => JSON.parse(line).event.type);
      expect(told.toSorted()).toEqual(['call.answered', 'call.ended', 'call.recorded', 'call.started']);
    });

    it('exits at once on a third signal', async () => {
      const { child, exited, letters } = await stopping();
      // A different signal, because two of a kind may be merged.
      child.kill('SIGINT');
      child.kill('SIGTERM');
      expect(await exited).toEqual([1, null]);
      // The receiver would have had another half second.
      expect(letters()).toEqual([]);
    });
  });

  it('ends at once on a second signal', async () => {
    const { child, exited, listening, output } = await serve();
    const caller = await Caller.call(await listening());
    child.kill('SIGTERM');
    await eventually('draining', () => output().includes('draining'));
    child.kill('SIGTERM');
    expect(await exited).toEqual([1, null]);
    await eventually('the close', () => caller.closed !== undefined);
  });

  it('prints one line per mistake in its environment, without secrets, and exits with 1', async () => {
    const { exited, output } = await serve({
      PORT: 'many',
      TWILIO_ACCOUNT_SID: 'me',
      TWILIO_AUTH_TOKEN: '',
      CONTROL_API_KEY: 'short',
    });
    expect(await exited).toEqual([1, null]);
    expect(output().trim().split('\n').sort()).toEqual([
      'Expected 0 to 65535 for PORT but received "many"',
      'Expected AC and 32 hexadecimal digits for TWILIO_ACCOUNT_SID but received another value',
      'Expected TWILIO_AUTH_TOKEN but received nothing (or set TWILIO_VALIDATE=off for development)',
      'Expected at least 16 characters for CONTROL_API_KEY but received another value',
    ]);
  });

  it('reports a port that is in use', async () => {
    const { url } = await startGateway();
    const { exited, output } = await serve({ PORT: new URL(url).port });
    expect(await exited).toEqual([1, null]);
    expect(output()).toContain('Expected a free address to listen on but received 127.0.0.1');
  });
});
