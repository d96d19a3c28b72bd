import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { AgentCall } from '../../src/agents/agent-call.js';
import { secondsOf, signWebhook } from '../../src/webhooks/signature.js';
import { needs } from '../support/needs.js';

interface Field {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly items?: Field;
  readonly additionalProperties?: Field;
  readonly $ref?: string;
}

interface Definition {
  readonly properties?: Readonly<Record<string, Field>>;
  readonly required?: readonly string[];
}

const read = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const { $defs } = JSON.parse(readFileSync(read('docs/raw-leg.schema.json'), 'utf8')) as {
  readonly $defs: Readonly<Record<string, Definition>>;
};
const messages = Object.entries($defs).filter(([, { properties }]) => properties !== undefined) as [
  string,
  Required<Definition>,
][];
const isEvent = ([name]: (typeof messages)[number]) => name.endsWith('Event');
const isCommand = ([name]: (typeof messages)[number]) => name.endsWith('Command');

/** What an agent that is connected has no use for. */
const UNTOLD = ['version', 'frameMs', 'bufferMs', 'listen'];

let count = 0;
/** A value that no other field of an example has. */
function example({ const: fixed, enum: several, type, items, additionalProperties, $ref }: Field): unknown {
  count += 1;
  if (fixed !== undefined) return fixed;
  if (several !== undefined) return several.at(-1);
  if ($ref !== undefined) return exampleOf($ref.slice($ref.lastIndexOf('/') + 1));
  if (items !== undefined) return [example(items)];
  if (type === 'object') return { key: example(additionalProperties as Field) };
  return type === 'string' ? `text ${count}` : type === 'boolean' ? true : 1_000 + count;
}

/** A message with every field that the schema has for it. */
function exampleOf(name: string): Record<string, unknown> {
  const { properties = {} } = $defs[name] as Definition;
  return Object.fromEntries(Object.entries(properties).map(([field, of]) => [field, example(of)]));
}

const ready = exampleOf('ReadyEvent');
const events = messages.filter(isEvent).flatMap(([name]) => (name === 'ReadyEvent' ? [] : [exampleOf(name)]));
/** Values somewhere within another. */
function leaves(value: unknown): unknown[] {
  if (typeof value !== 'object' || value === null) return [value];
  return Object.values(value).flatMap(leaves);
}

const withoutType = (message: Record<string, unknown>) =>
  Object.entries(message).filter(([field]) => field !== 'type' && !UNTOLD.includes(field));

/** Fields of the commands that a client sent: those it sends at all. */
function sentFields(commands: readonly Record<string, unknown>[]) {
  return Object.fromEntries(commands.map((command) => [command.type, Object.keys(command).sort()]));
}

const commandFields = Object.fromEntries(
  messages
    .filter(isCommand)
    .map(([, { properties }]) => [properties.type?.const, Object.keys(properties).sort()]),
);

describe('the client for TypeScript', () => {
  const sent: string[] = [];
  const socket = { send: (message: string | Int16Array) => sent.push(String(message)), close: () => {} };

  it('tells its program every field of every event of the schema', async () => {
    const call = new AgentCall(socket, ready as never);
    const state = [call.facts, call.rate, call.sendRate, call.isResumed, call.phones, call.playedMs];
    for (const [field, value] of withoutType(ready)) {
      // The facts name the room.
      if (field !== 'room') for (const leaf of leaves(value)) expect(leaves(state), field).toContain(leaf);
    }
    for (const event of events) {
      const told: unknown[] = [];
      for (const name of ['answered', 'left', 'key', 'mark', 'dropped', 'refused'] as const) {
        call.once(name, (...values: unknown[]) => told.push(...values));
      }
      const cleared = event.type === 'cleared' ? call.clear() : undefined;
      call.handleMessage(JSON.stringify(event));
      told.push(await cleared);
      for (const [field, value] of withoutType(event)) {
        expect(leaves(told), `${event.type}.${field}`).toContain(value);
      }
    }
  });

  it('sends every command of the schema, with all of its fields', () => {
    sent.length = 0;
    const call = new AgentCall(socket, ready as never);
    void call.clear();
    void call.mark('answer-1');
    call.dial('12#');
    call.hangUp({ phone: 'call-1', after: 'now' });
    call.transfer('+15551234567', { phone: 'call-1' });
    expect(sentFields(sent.map((text) => JSON.parse(text)))).toEqual(commandFields);
  });
});

const hasPython = needs(
  'Python 3.11',
  'apt-get install python3',
  () => spawnSync('/usr/bin/python3', ['-c', 'from typing import NotRequired']).status === 0,
);

describe.runIf(hasPython)('the client for Python', () => {
  const facts = '{"callId":"1","callerName":"Zo\\u00eb"}';
  const [secret, other] = ['a-secret-of-the-tests', `whsec_${Buffer.alloc(24, 7).toString('base64')}`];
  const now = secondsOf(new Date());
  const signed = (secrets: string[], seconds = now, text = facts) => ({
    secret,
    headers: { 'trunkline-call': facts, ...signWebhook('msg_1', text, secrets, seconds) },
  });
  const SIGNATURES = [
    { is: true, case: signed([secret]) },
    { is: true, case: signed([other, secret]) },
    { is: true, case: { ...signed([other]), secret: other } },
    { is: true, case: signed([secret], now - 200) },
    { is: false, case: signed([other]) },
    { is: false, case: signed([secret], now, '{"callId":"2"}') },
    { is: false, case: signed([secret], now - 400) },
    { is: false, case: signed([secret], now + 400) },
    { is: false, case: { secret, headers: {} } },
    { is: false, case: { secret, headers: { ...signed([secret]).headers, 'webhook-signature': 'v1,ü' } } },
  ];
  const { stdout, stderr } = spawnSync(
    '/usr/bin/python3',
    [
      read('test/support/python-client.py'),
      read('src/agents/python'),
      JSON.stringify(SIGNATURES.map((each) => each.case)),
    ],
    { input: [ready, ...events].map((message) => JSON.stringify(message)).join('\n'), encoding: 'utf8' },
  );
  const client = () => {
    expect(stderr).toBe('');
    return JSON.parse(stdout);
  };

  /** A field as the client would declare it. */
  function declared({
    const: fixed,
    enum: several,
    type,
    items,
    additionalProperties,
    $ref,
  }: Field): unknown {
    if (fixed !== undefined) return { enum: [fixed] };
    if (several !== undefined) return { enum: several };
    if ($ref !== undefined) return { ref: $ref.slice($ref.lastIndexOf('/') + 1) };
    if (items !== undefined) return { array: declared(items) };
    return type === 'object' ? { record: declared(additionalProperties as Field) } : type;
  }

  it('declares every message of the schema, with the same fields and types', () => {
    const wanted = messages.map(([name, { properties, required }]) => {
      const fields = Object.entries(properties).map(([field, of]) => [field, declared(of)]);
      return [name, { fields: Object.fromEntries(fields), required: [...required].sort() }];
    });
    const { types } = client();
    for (const { required } of Object.values<{ required: string[] }>(types)) required.sort();
    expect(types).toEqual(Object.fromEntries(wanted));
  });

  it('gives its program every event as it is, and keeps what ready says', () => {
    const { events: heard, known } = client();
    expect(heard).toEqual(events);
    const { version: _, frameMs: __, bufferMs: ___, listen: ____, type: _____, call, ...rest } = ready;
    // Later events go on from there.
    const phones = expect.arrayContaining(ready.phones as string[]);
    expect(known).toEqual({ ...rest, facts: call, phones, playedMs: expect.any(Number) });
  });

  it('sends every command of the schema, with all of its fields', () => {
    expect(sentFields(client().commands)).toEqual(commandFields);
  });
  it('accepts what the gateway signs within five minutes, and nothing else', () => {
    expect(client().verified).toEqual(SIGNATURES.map(({ is }) => is));
  });

  it('keeps the latest second of audio for a handler that is slow, and counts the rest', () => {
    expect(client().slow).toEqual({ droppedMs: 500, isLatest: true, frames: 50 });
  });
});
