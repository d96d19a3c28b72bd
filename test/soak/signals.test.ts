import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RELOADABLE } from '../../src/settings.js';
import { AUTH_TOKEN, Caller, PUBLIC_URL, sign, voiceParameters } from '../support/caller.js';
import { makeCertificate } from '../support/certificate.js';
import { freePort } from '../support/port.js';
import { Served, type ServeOptions } from '../support/served.js';
import { eventually, sleep } from '../support/time.js';
import { toneMulaw } from '../support/tone.js';

const GUIDE = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
const [SIGNALS] = GUIDE.split(/^## /m).filter((part) => part.startsWith('Signals'));

const KEY = 'a key of the control API';
const OTHER_KEY = 'another key of the control API';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'trunkline-signals-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** The status of a new call's signed webhook, which shows the accepted tokens. */
async function statusOfWebhook(url: string, token: string): Promise<number> {
  const parameters = voiceParameters();
  const answer = await fetch(`${url}/twilio/voice`, {
    method: 'POST',
    headers: { 'x-twilio-signature': sign(`${PUBLIC_URL}/twilio/voice`, parameters, token) },
    body: new URLSearchParams(parameters),
  });
  return answer.status;
}

async function statusOfControl(url: string, key: string): Promise<number> {
  const headers = { authorization: `Bearer ${key}` };
  return (await fetch(`${url}/v1/calls`, { headers })).status;
}

/** A call that was heard and hears its echo. */
async function talking(url: string): Promise<Caller> {
  const caller = await Caller.call(url);
  await isHeard(caller);
  return caller;
}

async function isHeard(caller: Caller): Promise<void> {
  const before = caller.mediaCount;
  caller.media(toneMulaw(700, 20));
  await eventually('audio', () => caller.mediaCount > before);
}

/** A gateway whose one call has been recorded for half a second. */
async function recording(options: ServeOptions = {}): Promise<{ served: Served; caller: Caller }> {
  const served = Served.start({
    ...options,
    env: { CONTROL_API_KEY: KEY, RECORD_DIR: folder, ...options.env },
  });
  const url = await served.listening();
  const caller = await talking(url);
  const headers = { authorization: `Bearer ${KEY}` };
  const { calls } = (await (await fetch(`${url}/v1/calls`, { headers })).json()) as {
    calls: { callId: string }[];
  };
  const at = `${url}/v1/calls/${calls[0]?.callId}/recording`;
  await fetch(at, { method: 'POST', headers });
  for (let seconds = 0; seconds < 0.5; ) {
    caller.media(toneMulaw(700, 20));
    ({ seconds } = (await (await fetch(at, { headers })).json()) as { seconds: number });
    await sleep(20);
  }
  return { served, caller };
}

/** The one recording is complete: its header covers all its data, and there is some. */
function expectWhole(): void {
  const [name] = readdirSync(folder).filter((file) => file.endsWith('.wav'));
  const file = readFileSync(join(folder, name as string));
  expect(file.readUInt32LE(40)).toBe(file.length - 44);
  // 16 kHz, two channels of two bytes.
  expect(file.length - 44).toBeGreaterThanOrEqual(0.5 * 64_000);
}

describe('SIGHUP', () => {
  it('changes tokens, keys and log level from a file while calls continue', async () => {
    const file = join(folder, 'env');
    const write = (...lines: string[]) => writeFileSync(file, `${lines.join('\n')}\n`);
    write(`CONTROL_API_KEY="${KEY}"`, 'MAX_CALLS=7');
    const served = Served.start({ args: ['--env-file', file] });
    const url = await served.listening();
    const caller = await talking(url);
    expect([await statusOfControl(url, KEY), await statusOfControl(url, OTHER_KEY)]).toEqual([200, 401]);
    expect(await statusOfWebhook(url, 'a newer token')).toBe(403);

    // While both are valid, the old token and the new one.
    write(
      `TWILIO_AUTH_TOKEN="a newer token,${AUTH_TOKEN}"`,
      `CONTROL_API_KEY="${OTHER_KEY}"`,
      'LOG_LEVEL=debug',
      'MAX_CALLS=8',
    );
    served.child.kill('SIGHUP');
    await served.says('settings read again');
    expect([await statusOfControl(url, KEY), await statusOfControl(url, OTHER_KEY)]).toEqual([401, 200]);
    expect(await statusOfWebhook(url, 'a newer token')).toBe(200);
    expect(await statusOfWebhook(url, AUTH_TOKEN)).toBe(200);
    const [read] = served.lines('settings read again');
    expect(read?.changed).toEqual(['TWILIO_AUTH_TOKEN', 'CONTROL_API_KEY', 'LOG_LEVEL']);
    // Settings that need a restart are named at every reload.
    await served.says('these settings wait for a restart');
    expect(served.lines('wait for a restart').map(({ settings }) => settings)).toEqual([['MAX_CALLS']]);

    // And the end of the old one; the control API's too.
    write('TWILIO_AUTH_TOKEN="a newer token"', 'MAX_CALLS=7');
    served.child.kill('SIGHUP');
    await eventually('a second reading', () => served.lines('settings read again').length === 2);
    expect(await statusOfControl(url, OTHER_KEY)).toBe(404);
    expect(await statusOfWebhook(url, AUTH_TOKEN)).toBe(403);
    expect(await statusOfWebhook(url, 'a newer token')).toBe(200);
    expect(served.output).not.toContain(OTHER_KEY);
    expect(served.output).not.toContain('a newer token');
    await isHeard(caller);
    expect(caller.closed).toBeUndefined();
  });

  it('with mistakes in the file changes nothing, and reports each of them', async () => {
    const file = join(folder, 'env');
    writeFileSync(file, `CONTROL_API_KEY="${KEY}"\n`);
    const served = Served.start({ env: { ENV_FILE: file } });
    const url = await served.listening();
    writeFileSync(file, `CONTROL_API_KEY=short\nLOG_LEVEL=loud\nTWILIO_AUTH_TOKEN="a newer token"\n`);
    served.child.kill('SIGHUP');
    await served.says('settings not taken');
    expect(served.lines('settings not taken')[0]?.mistakes).toEqual([
      'Expected at least 16 characters for CONTROL_API_KEY but received another value',
      'Expected fatal, error, warn, info, debug, trace or silent for LOG_LEVEL but received "loud"',
    ]);
    expect(await statusOfControl(url, KEY)).toBe(200);
    expect(await statusOfWebhook(url, AUTH_TOKEN)).toBe(200);
    expect(await statusOfWebhook(url, 'a newer token')).toBe(403);
    rmSync(file);
    served.child.kill('SIGHUP');
    await served.says('Expected a readable file for ENV_FILE');
    expect(await statusOfControl(url, KEY)).toBe(200);
  });

  it('does not affect calls and their recordings; SIGQUIT then drains like SIGTERM', async () => {
    const { served, caller } = await recording();
    served.child.kill('SIGHUP');
    await served.says('settings read again');
    await isHeard(caller);
    served.child.kill('SIGQUIT');
    await served.says('draining');
    await isHeard(caller);
    expect(caller.closed).toBeUndefined();
    caller.stop();
    expect(await served.exited).toEqual([0, null]);
    expectWhole();
  });

  it('drains as well when its terminal was closed', async () => {
    // Nothing but such a process has a terminal and cannot open it.
    const nodeArgs = ['--import', 'data:text/javascript,process.stdout.isTTY=true'];
    const { served, caller } = await recording({ nodeArgs, detached: true });
    served.child.kill('SIGHUP');
    await served.says('draining');
    caller.stop();
    expect(await served.exited).toEqual([0, null]);
    expectWhole();
  });
});

describe('a renewed certificate', () => {
  beforeAll(() => {
    // The tests look at certificates themselves.
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  });
  afterAll(() => {
    delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  });

  /** The serial number of what a new connection is shown. */
  async function serialAt(url: string, servername?: string): Promise<string> {
    const { port } = new URL(url);
    const socket = tls.connect({ host: '127.0.0.1', port: Number(port), ...(servername && { servername }) });
    await once(socket, 'secureConnect');
    const { serialNumber } = socket.getPeerCertificate();
    socket.destroy();
    return serialNumber;
  }

  it('is used for new connections after SIGHUP, without losing a call or a request', async () => {
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    const install = ({ pem }: { pem: string }) => {
      writeFileSync(cert, readFileSync(pem));
      writeFileSync(key, readFileSync(pem));
    };
    install(makeCertificate('localhost'));
    const served = Served.start({ env: { TLS_CERT_FILE: cert, TLS_KEY_FILE: key } });
    const url = await served.listening();
    const caller = await talking(url);
    const serials = new Set([await serialAt(url)]);

    let isAsking = true;
    let answers = 0;
    const asking = (async () => {
      for (; isAsking; answers++) {
        const answer = await fetch(`${url}/health`, { headers: { connection: 'close' } });
        expect(answer.status).toBe(200);
      }
    })();
    for (let renewal = 1; renewal <= 3; renewal++) {
      install(makeCertificate('localhost'));
      served.child.kill('SIGHUP');
      await eventually('the reading', () => served.lines('settings read again').length === renewal);
      const serial = await serialAt(url);
      serials.add(serial);
      expect(await serialAt(url, 'voice.example.com')).toBe(serial);
      await isHeard(caller);
      // Calls started under each certificate continue under the next.
      await (await talking(url)).socket.close();
    }
    isAsking = false;
    await asking;
    expect(answers).toBeGreaterThan(0);
    expect(serials.size).toBe(4);

    // The key of another certificate: half a renewal.
    const last = await serialAt(url);
    writeFileSync(key, readFileSync(makeCertificate('localhost').pem));
    served.child.kill('SIGHUP');
    await served.says('Expected a certificate and its private key in PEM');
    expect(await serialAt(url)).toBe(last);
    rmSync(key);
    served.child.kill('SIGHUP');
    await served.says('Expected a readable file for a private key');
    expect(await serialAt(url)).toBe(last);
    await isHeard(caller);

    served.child.kill('SIGTERM');
    await served.says('draining');
    caller.stop();
    expect(await served.exited).toEqual([0, null]);
  });
});

describe('SIGUSR1', () => {
  it('opens no inspector', async () => {
    const { served, caller } = await recording();
    served.child.kill('SIGUSR1');
    await isHeard(caller);
    served.child.kill('SIGTERM');
    await served.says('draining');
    caller.stop();
    await served.exited;
    expect(served.output).not.toContain('Debugger');
  });

  it('does not affect an inspector opened by --inspect', async () => {
    const served = Served.start({ nodeArgs: ['--inspect=127.0.0.1:0'] });
    await served.listening();
    await served.says('Debugger listening');
  });
});

describe('an uncaught exception', () => {
  it.each([
    ['an exception', 'throw new Error("planted")'],
    ['a rejection', 'Promise.reject(new Error("planted"))'],
  ])('%s ends calls politely, keeps their recordings, and exits with 1', async (_, fault) => {
    const nodeArgs = ['--import', `data:text/javascript,process.on('SIGUSR2',()=>{${fault}})`];
    const { served, caller } = await recording({ nodeArgs });
    served.child.kill('SIGUSR2');
    expect(await served.exited).toEqual([1, null]);
    await eventually('the close', () => caller.closed !== undefined);
    expect(caller.closed?.code).toBe(1001);
    expect(served.lines('a fault of ours')).toHaveLength(1);
    expect(served.output).toContain('planted');
    expectWhole();
  });
});

describe('a log that cannot be written', () => {
  const ways = [['its reader has gone', 'exec > >(true)']];
  if (existsSync('/dev/full')) ways.push(['its disk is full', 'exec >/dev/full']);

  it.each(ways)('because %s affects no call', async (_, shell) => {
    const port = await freePort();
    const served = Served.start({ env: { PORT: String(port) }, shell: shell as string });
    const url = `http://127.0.0.1:${port}`;
    const isUp = () =>
      fetch(`${url}/health`).then(
        (answer) => answer.ok,
        () => served.isOver,
      );
    await eventually('listening', isUp, 15_000);
    const caller = await talking(url);
    served.child.kill('SIGHUP');
    await isHeard(caller);
    served.child.kill('SIGTERM');
    caller.stop();
    expect(await served.exited).toEqual([0, null]);
  });
});

it('serve --help and the guide name every handled signal, and every setting that SIGHUP reloads', async () => {
  const served = Served.start({ args: ['--help'] });
  expect(await served.exited).toEqual([0, null]);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGUSR1']) {
    expect(served.output).toContain(signal);
    expect(SIGNALS).toContain(signal);
  }
  for (const name of RELOADABLE) {
    expect(served.output).toContain(name);
    expect(SIGNALS).toContain(`\`${name}\``);
  }
});
