import { describe, expect, test } from 'vitest';
import { readConfig } from '../src/config.js';
import { GatewayError } from '../src/errors.js';

const SID = `AC${'0'.repeat(32)}`;
const ACCOUNT = { TWILIO_ACCOUNT_SID: SID, TWILIO_AUTH_TOKEN: 'secret-token' };
const read = (env: NodeJS.ProcessEnv) => readConfig({ ...ACCOUNT, ...env });

/** The lines an environment is refused with; none where it is taken. */
function mistakes(env: NodeJS.ProcessEnv): string[] {
  try {
    readConfig(env);
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(GatewayError);
    expect((error as GatewayError).code).toBe('GW_CONFIG_INVALID');
    return (error as GatewayError).message.split('\n');
  }
}

describe('the configuration', () => {
  test('has the defaults of the contract', () => {
    expect(readConfig(ACCOUNT)).toMatchObject({
      host: '127.0.0.1',
      port: 3000,
      server: 'auto',
      sharePort: false,
      streamStatus: false,
      twilio: { accountSid: SID, authTokens: ['secret-token'], validate: true },
      localRoom: 'call',
      maxCalls: 1000,
      maxLegs: 200,
      maxLoopDelayMs: 50,
      maxCpuPercent: 85,
      stuckSeconds: 30,
      leadMs: 120,
      drainMs: 300_000,
      logLevel: 'info',
    });
  });

  test('accepts every setting', () => {
    const config = read({
      PUBLIC_URL: 'https://a.example/p',
      TWILIO_AUTH_TOKEN: ' one , two ',
      TWILIO_FROM: '+15550001111',
      TWILIO_API_URL: 'http://127.0.0.1:4010',
      HOST: '::',
      PORT: '0',
      TLS_CERT_FILE: 'a.pem',
      TLS_KEY_FILE: 'b.pem',
      LOCAL_ROOM: 'to',
      BRIDGE: 'local',
      CONTROL_API_KEY: 'sixteen-letters!',
      MAX_CALLS: '7',
      MAX_LEGS: '0',
      RECORD_DIR: '/var/recordings',
      MAX_LOOP_DELAY_MS: '0',
      MAX_CPU_PERCENT: '90',
      STUCK_SECONDS: '60',
      STREAM_STATUS: 'on',
      LEAD_MS: '200',
      DRAIN_SECONDS: '5',
      OPERATIONS_PORT: '3001',
      METRICS_API_KEY: 'sixteen-figures!',
      TRUSTED_PROXIES: '10.0.0.0/8, ::1',
      SHARE_PORT: 'on',
      REDIS_URL: 'rediss://user:word@redis.example:6380/2',
      NODE_ID: 'gateway-1.eu',
      TRANSCODER: 'native',
      LOG_LEVEL: 'debug',
      SERVER: 'node',
      SOMETHING_ELSE: 'x',
    });
    expect(config).toMatchObject({
      host: '::',
      port: 0,
      server: 'node',
      operationsPort: 3001,
      metricsApiKey: 'sixteen-figures!',
      trustedProxies: ['10.0.0.0/8', '::1'],
      sharePort: true,
      tls: { certFile: 'a.pem', keyFile: 'b.pem' },
      publicUrl: 'https://a.example/p',
      twilio: {
        accountSid: SID,
        authTokens: ['one', 'two'],
        validate: true,
        from: '+15550001111',
        apiUrl: 'http://127.0.0.1:4010',
      },
      localRoom: 'to',
      maxCalls: 7,
      maxLegs: 0,
      recordDir: '/var/recordings',
      maxLoopDelayMs: 0,
      maxCpuPercent: 90,
      stuckSeconds: 60,
      streamStatus: true,
      leadMs: 200,
      drainMs: 5_000,
      controlApiKey: 'sixteen-letters!',
      redis: { url: 'rediss://user:word@redis.example:6380/2', nodeId: 'gateway-1.eu' },
      logLevel: 'debug',
    });
  });

  test('treats empty text as not set', () => {
    const empty = { PUBLIC_URL: '', PORT: ' ', LOG_LEVEL: '', STREAM_API_KEY: '', CONTROL_API_KEY: '' };
    expect(read(empty)).toEqual(readConfig(ACCOUNT));
  });

  test('trusts no proxy if set to none', () => {
    expect(read({ TRUSTED_PROXIES: 'none' }).trustedProxies).toEqual([]);
  });

  test('uses NGROK_URL unless PUBLIC_URL is set', () => {
    expect(read({ NGROK_URL: 'a.ngrok.app' }).publicUrl).toBe('https://a.ngrok.app');
    expect(read({ NGROK_URL: 'a.ngrok.app', PUBLIC_URL: 'https://b.example' }).publicUrl).toBe(
      'https://b.example',
    );
  });

  test('needs no account if signatures are not checked', () => {
    expect(readConfig({ TWILIO_VALIDATE: 'off' }).twilio).toEqual({ authTokens: [], validate: false });
    expect(mistakes({})).toEqual([
      expect.stringContaining('TWILIO_ACCOUNT_SID'),
      expect.stringContaining('TWILIO_AUTH_TOKEN'),
    ]);
    expect(mistakes({ TWILIO_VALIDATE: 'on' })).toHaveLength(2);
  });

  test('skips empty places in a list', () => {
    expect(read({ TWILIO_AUTH_TOKEN: ',one,,two,' }).twilio.authTokens).toEqual(['one', 'two']);
    expect(read({ TRUSTED_PROXIES: '::1, ' }).trustedProxies).toEqual(['::1']);
  });

  test('is rejected if the token list has no token', () => {
    expect(mistakes({ ...ACCOUNT, TWILIO_AUTH_TOKEN: ' , ' })).toEqual([
      expect.stringContaining('TWILIO_AUTH_TOKEN'),
    ]);
  });

  test.each([
    ['STREAM_API_KEY', 'STREAM_API_SECRET'],
    ['STREAM_API_SECRET', 'STREAM_API_KEY'],
    ['TLS_CERT_FILE', 'TLS_KEY_FILE'],
    ['TLS_KEY_FILE', 'TLS_CERT_FILE'],
  ])('accepts %s only with %s', (set, unset) => {
    const lines = mistakes({ ...ACCOUNT, BRIDGE: 'local', [set]: 'x' });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(`received ${set} without ${unset}`);
  });

  test.each([
    ['TWILIO_ACCOUNT_SID', 'AC12'],
    ['TWILIO_VALIDATE', 'no'],
    ['TWILIO_API_URL', 'ftp://a.example'],
    ['PUBLIC_URL', 'a.example'],
    ['PUBLIC_URL', 'http://a.example'],
    ['PUBLIC_URL', 'https://a.example/?x=1'],
    ['PUBLIC_URL', 'https://a.example/#x'],
    ['PUBLIC_URL', 'wss://a.example'],
    ['NGROK_URL', 'https://a.ngrok.app'],
    ['NGROK_URL', 'a.ngrok.app/path'],
    ['NGROK_URL', 'a.ngrok.app:99999'],
    ['BRIDGE', 'other'],
    ['LOCAL_ROOM', 'from'],
    ['PORT', '65536'],
    ['PORT', '-1'],
    ['PORT', '3000.5'],
    ['PORT', '0x10'],
    ['MAX_CALLS', '0'],
    ['MAX_LEGS', '-1'],
    ['MAX_LOOP_DELAY_MS', '-1'],
    ['MAX_CPU_PERCENT', 'half'],
    ['STUCK_SECONDS', '0'],
    ['STREAM_STATUS', 'yes'],
    ['MAX_CALLS', 'many'],
    ['LEAD_MS', '19'],
    ['DRAIN_SECONDS', '-5'],
    ['TRANSCODER', 'fast'],
    ['LOG_LEVEL', 'loud'],
    ['CONTROL_API_KEY', 'short'],
    ['METRICS_API_KEY', 'short'],
    ['OPERATIONS_PORT', '65536'],
    ['OPERATIONS_PORT', '3000'],
    ['TRUSTED_PROXIES', 'proxy.example'],
    ['TRUSTED_PROXIES', '10.0.0.0/8,none'],
    ['TRUSTED_PROXIES', ','],
    ['SHARE_PORT', 'yes'],
    ['REDIS_URL', 'localhost:6379'],
    ['REDIS_URL', 'https://localhost:6379'],
    ['NODE_ID', 'node 1'],
  ])('rejects %s=%s in one line that names it', (name, value) => {
    const lines = mistakes({ ...ACCOUNT, [name]: value });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(new RegExp(`^Expected .+ for ${name} but received `));
  });

  test.each([
    'https://a.example',
    'https://a.example:8443/p/',
    'http://localhost:3000',
    'http://127.0.0.1',
    'http://[::1]:1',
  ])('accepts PUBLIC_URL=%s', (url) => {
    expect(read({ PUBLIC_URL: url }).publicUrl).toBe(url);
  });

  test('reports all errors at once, one line each', () => {
    const lines = mistakes({
      TWILIO_AUTH_TOKEN: 'x',
      PORT: 'a\nb',
      MAX_CALLS: '0',
      LOG_LEVEL: 'loud',
      PUBLIC_URL: 'nowhere',
      BRIDGE: 'local',
      STREAM_API_KEY: 'key',
      TLS_KEY_FILE: 'key.pem',
    });
    expect(lines).toHaveLength(7);
    const names = [
      'TWILIO_ACCOUNT_SID',
      'PORT',
      'MAX_CALLS',
      'LOG_LEVEL',
      'PUBLIC_URL',
      'STREAM_API',
      'TLS_KEY_FILE',
    ];
    for (const name of names) {
      expect(lines.filter((line) => line.includes(name))).toHaveLength(1);
    }
    for (const line of lines) expect(line).toMatch(/^Expected .+ but received /);
  });

  const KEYS = { STREAM_API_KEY: 'key', STREAM_API_SECRET: 'hush' };

  test('bridges to Stream if its keys are set, unless BRIDGE says otherwise', () => {
    expect(read({}).stream).toBeUndefined();
    expect(read(KEYS).stream).toEqual({
      apiKey: 'key',
      apiSecret: 'hush',
      media: 'workers',
      stack: 'auto',
      legsPerWorker: 20,
      joinAt: 'answer',
      maxWorkerDelayMs: 20,
      aloneSeconds: 60,
      transferTo: [],
      control: 'all',
    });
    expect(read({ ...KEYS, BRIDGE: 'stream' }).stream).toBeDefined();
    expect(read({ ...KEYS, BRIDGE: 'local' }).stream).toBeUndefined();
  });

  test('accepts the settings of the Stream bridge', () => {
    const more = {
      STREAM_BASE_URL: 'http://127.0.0.1:3031',
      STREAM_MEDIA: 'inline',
      STREAM_STACK: 'lean',
      STREAM_LEGS_PER_WORKER: '50',
      STREAM_JOIN_AT: 'ring',
      STREAM_MAX_WORKER_DELAY_MS: '0',
      STREAM_ALONE_SECONDS: '5',
      STREAM_TRANSFER_TO: '+15551230000, +1555* ,sip:desk@example.com',
      STREAM_CONTROL: 'user:agent-1, role:admin ,user:bot-*',
    };
    expect(read({ ...KEYS, ...more }).stream).toEqual({
      apiKey: 'key',
      apiSecret: 'hush',
      baseUrl: 'http://127.0.0.1:3031',
      media: 'inline',
      stack: 'lean',
      legsPerWorker: 50,
      joinAt: 'ring',
      maxWorkerDelayMs: 0,
      aloneSeconds: 5,
      transferTo: ['+15551230000', '+1555*', 'sip:desk@example.com'],
      control: ['user:agent-1', 'role:admin', 'user:bot-*'],
    });
    expect(read({ ...KEYS, STREAM_CONTROL: 'none' }).stream?.control).toEqual([]);
    expect(read({ ...KEYS, STREAM_CONTROL: 'all' }).stream?.control).toBe('all');
  });

  test.each([
    [{ BRIDGE: 'stream' }, 'STREAM_API_KEY'],
    [{ STREAM_BASE_URL: 'http://127.0.0.1:3031' }, 'STREAM_BASE_URL'],
    [{ ...KEYS, STREAM_BASE_URL: 'nowhere' }, 'STREAM_BASE_URL'],
    [{ ...KEYS, STREAM_MEDIA: 'threads' }, 'STREAM_MEDIA'],
    [{ ...KEYS, STREAM_LEGS_PER_WORKER: '101' }, 'STREAM_LEGS_PER_WORKER'],
    [{ ...KEYS, STREAM_JOIN_AT: 'start' }, 'STREAM_JOIN_AT'],
    [{ ...KEYS, STREAM_MAX_WORKER_DELAY_MS: '-1' }, 'STREAM_MAX_WORKER_DELAY_MS'],
    [{ ...KEYS, STREAM_ALONE_SECONDS: '0' }, 'STREAM_ALONE_SECONDS'],
    [{ ...KEYS, STREAM_TRANSFER_TO: '+1555,anybody' }, 'STREAM_TRANSFER_TO'],
    ...['agent-1', 'user:', 'group:x', 'role:a b', 'user:*', 'all,user:a', 'none,role:b'].map(
      (list): [Record<string, string>, string] => [{ ...KEYS, STREAM_CONTROL: list }, 'STREAM_CONTROL'],
    ),
  ])('rejects %j', (given, name) => {
    const lines = mistakes({ ...ACCOUNT, ...given });
    expect(lines).toEqual([expect.stringContaining(name)]);
    expect(lines[0]).toMatch(/^Expected .+ but received /);
  });

  const SIGNED = { WEBHOOK_SECRET: 'sixteen-letters!' };

  test('accepts a router and an event receiver, both with a secret', () => {
    const { router, eventWebhooks } = read({
      ...SIGNED,
      CALL_ROUTER_URL: 'https://a.example/route',
      EVENTS_WEBHOOK_URL: 'http://127.0.0.1:4000/events',
    });
    const secret = ['sixteen-letters!'];
    expect(router).toEqual({ url: 'https://a.example/route', secret, timeoutMs: 3_000, fallback: 'busy' });
    expect(eventWebhooks).toEqual({ url: 'http://127.0.0.1:4000/events', secret });
  });

  test('accepts their settings', () => {
    const { router, eventWebhooks } = read({
      WEBHOOK_SECRET: 'the-new-secret-of-ours, the-old-secret-of-ours',
      CALL_ROUTER_URL: 'https://a.example/route',
      CALL_ROUTER_TIMEOUT_MS: '500',
      CALL_ROUTER_FALLBACK: 'say: We are away: call again.',
      EVENTS_WEBHOOK_URL: 'https://a.example/events',
      EVENTS_DEAD_LETTER_FILE: '/var/lib/dead.jsonl',
      EVENTS_SPOOL_DIR: '/var/lib/spool',
    });
    const secret = ['the-new-secret-of-ours', 'the-old-secret-of-ours'];
    expect(router).toMatchObject({ secret, timeoutMs: 500, fallback: { say: 'We are away: call again.' } });
    expect(eventWebhooks).toMatchObject({
      secret,
      deadLetterFile: '/var/lib/dead.jsonl',
      spoolDir: '/var/lib/spool',
    });
  });

  test.each([
    [{ ...SIGNED, CALL_ROUTER_URL: 'a.example' }, 'CALL_ROUTER_URL'],
    [{ CALL_ROUTER_URL: 'https://a.example' }, 'WEBHOOK_SECRET'],
    [{ EVENTS_WEBHOOK_URL: 'https://a.example' }, 'WEBHOOK_SECRET'],
    [{ ...SIGNED, CALL_ROUTER_TIMEOUT_MS: '9000' }, 'CALL_ROUTER_TIMEOUT_MS'],
    [{ ...SIGNED, CALL_ROUTER_FALLBACK: 'say: ' }, 'CALL_ROUTER_FALLBACK'],
    [{ ...SIGNED, CALL_ROUTER_FALLBACK: 'ring' }, 'CALL_ROUTER_FALLBACK'],
    [{ WEBHOOK_SECRET: 'hush-short' }, 'WEBHOOK_SECRET'],
    [{ WEBHOOK_SECRET: 'sixteen-letters!,hush' }, 'WEBHOOK_SECRET'],
    [{ EVENTS_DEAD_LETTER_FILE: 'dead.jsonl' }, 'EVENTS_DEAD_LETTER_FILE'],
    [{ EVENTS_SPOOL_DIR: 'spool' }, 'EVENTS_SPOOL_DIR'],
  ])('rejects signed requests with %j', (given, name) => {
    const lines = mistakes({ ...ACCOUNT, ...given });
    expect(lines).toEqual([expect.stringContaining(name)]);
    expect(lines[0]).toMatch(/^Expected .+ but received /);
    expect(lines[0]).not.toContain('hush');
  });

  test('never prints a secret', () => {
    const lines = mistakes({
      TWILIO_ACCOUNT_SID: 'AC12',
      TWILIO_AUTH_TOKEN: 'hush-token',
      CONTROL_API_KEY: 'hush-key',
      STREAM_API_SECRET: 'hush-stream',
      REDIS_URL: 'http://:hush-redis@a.example',
      PUBLIC_URL: 'https://user:hush-password@a.example',
    });
    expect(lines.length).toBeGreaterThanOrEqual(4);
    expect(lines.join('\n')).not.toContain('hush');
  });

  test('does not print an auth token set as the account', () => {
    const token = '0123456789abcdef0123456789abcdef';
    const lines = mistakes({ TWILIO_ACCOUNT_SID: token, TWILIO_AUTH_TOKEN: SID });
    expect(lines).toHaveLength(1);
    expect(lines[0]).not.toContain(token);
  });
});
