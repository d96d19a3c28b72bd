import { describe, expect, it } from 'vitest';
import { readConfig } from '../src/config.js';
import { completeOptions, type GatewayOptions } from '../src/gateway-options.js';
import { SETTINGS } from '../src/settings.js';

const ELSEWHERE = ['router', 'eventWebhooks', 'stream', 'drainMs', 'workerCount'];
/** Settings that the gateway itself checks as options, with the path of each. */
const OPTIONS = [...SETTINGS].flatMap(([name, setting]) =>
  typeof setting.option === 'string' && !ELSEWHERE.includes(setting.option.split('.')[0] as string)
    ? [{ name, path: setting.option, setting }]
    : [],
);

/** Options with one value at a path. */
function optionsWith(path: string, value: unknown): GatewayOptions {
  const [group, member] = path.split('.') as [string, string?];
  return { [group]: member === undefined ? value : { [member]: value } };
}

function valueAt(options: object, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>((holder, key) => (holder as Record<string, unknown>)?.[key], options);
}

describe.each([...SETTINGS])('%s', (name, { format, default: usual }) => {
  if (usual !== undefined) {
    it('has a default that it accepts, and that a variable can express', () => {
      expect(format.accepts(usual)).toBe(true);
      const text = format.print(usual);
      if (text !== '') expect(format.parse(text)).toEqual(usual);
    });
  }

  it('accepts no value of another type', () => {
    for (const value of [null, Number.NaN, -1, () => {}]) expect(format.accepts(value), name).toBe(false);
  });
});

it.each(OPTIONS)(
  'rejects a wrong value for the option $path and says what it should be',
  ({ path, setting }) => {
    expect(() => completeOptions(optionsWith(path, -1))).toThrow(
      `Expected ${setting.format.wantedOption} for ${path} but received ${setting.isSecret ? 'another value' : '-1'}`,
    );
  },
);

it.each(OPTIONS.filter(({ setting }) => setting.default !== undefined))(
  'gives the option $path the default of $name, in code as in the environment',
  ({ path, setting }) => {
    expect(valueAt(completeOptions({}), path)).toEqual(setting.default);
    const validate = path === 'twilio.validate';
    if (!validate) expect(valueAt(readConfig({ TWILIO_VALIDATE: 'off' }), path)).toEqual(setting.default);
  },
);

it('accepts a configuration of the environment as options', () => {
  const config = readConfig({
    TWILIO_VALIDATE: 'off',
    MAX_CALLS: '7',
    REDIS_URL: 'redis://a',
    SHARE_PORT: 'on',
  });
  const { drainMs: _, workerCount: __, ...options } = config;
  expect(completeOptions(options)).toEqual(options);
});

it('rejects options that contradict each other', () => {
  expect(() => completeOptions({ sharePort: true })).toThrow('Expected redis for sharePort');
  expect(() => completeOptions({ port: 3001, operationsPort: 3001 })).toThrow(
    'for operationsPort but received 3001',
  );
  const router = { url: 'https://a.example', secret: 'sixteen-letters!' };
  expect(() => completeOptions({ router, prepareCall: () => undefined })).toThrow('prepareCall or router');
});

it('accepts Infinity for a limit that may be off, and for no other number', () => {
  const maxLoopDelayMs = Number.POSITIVE_INFINITY;
  expect(completeOptions({ maxLoopDelayMs, maxCpuPercent: maxLoopDelayMs }).maxLoopDelayMs).toBe(
    maxLoopDelayMs,
  );
  expect(() => completeOptions({ stuckSeconds: Number.POSITIVE_INFINITY })).toThrow('for stuckSeconds');
});

it('names a group that is no object', () => {
  const redis = null as unknown as { url: string };
  expect(() => completeOptions({ redis })).toThrow('Expected an object for redis but received null');
});

it('shows no password of a URL that it rejects', () => {
  const publicUrl = 'htp://user:secret@voice.example.com';
  expect(() => completeOptions({ publicUrl })).toThrow(/^(?!.*secret).*voice\.example\.com/);
});
