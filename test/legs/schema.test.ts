import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { type LegCommand, parseLegCommand } from '../../src/legs/leg-messages.js';
import { startWithCarrier } from '../support/carrier.js';
import { eventually, virtualTime } from '../support/time.js';

virtualTime();

interface Definition {
  readonly description: string;
  readonly properties?: Readonly<Record<string, { readonly description?: string; readonly const?: string }>>;
  readonly required?: readonly string[];
  readonly oneOf?: readonly { readonly $ref: string }[];
}

const schema = JSON.parse(
  readFileSync(new URL('../../docs/raw-leg.schema.json', import.meta.url), 'utf8'),
) as {
  readonly $defs: Readonly<Record<string, Definition>>;
};
const ajv = new Ajv2020({ allowUnionTypes: true }).addSchema(schema, 'leg');
const isOf = (name: string) => ajv.compile({ $ref: `leg#/$defs/${name}` });

/** The schema of this version to the letter: what it does not name is an error. */
function closed(part: unknown): unknown {
  if (Array.isArray(part)) return part.map(closed);
  if (typeof part !== 'object' || part === null) return part;
  const parts = Object.fromEntries(Object.entries(part).map(([name, value]) => [name, closed(value)]));
  return parts.type === 'object' ? { additionalProperties: false, ...parts } : parts;
}
const strict = new Ajv2020({ allowUnionTypes: true }).addSchema(closed(schema) as object, 'leg');

const typesOf = (name: string) =>
  (schema.$defs[name]?.oneOf ?? []).map(({ $ref }) => {
    const { properties } = schema.$defs[$ref.slice('#/$defs/'.length)] as Definition;
    return properties?.type?.const as string;
  });

const servers: WebSocketServer[] = [];
afterAll(() => {
  for (const server of servers) server.close();
});

/** An agent that keeps the text it is sent. */
async function startRecorder() {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  servers.push(server);
  await once(server, 'listening');
  const texts: string[] = [];
  let socket: WebSocket | undefined;
  server.on('connection', (accepted) => {
    socket = accepted;
    accepted.on('message', (data: Buffer, isBinary) => {
      if (!isBinary) texts.push(data.toString());
    });
  });
  const { port } = server.address() as AddressInfo;
  return { url: `ws://127.0.0.1:${port}`, texts, send: (data: string | Buffer) => socket?.send(data) };
}

it('describes every message and every field', () => {
  for (const [name, { description, properties = {} }] of Object.entries(schema.$defs)) {
    expect(description, name).toMatch(/^[A-Z].+\.$/);
    for (const [field, { description: text }] of Object.entries(properties)) {
      if (field !== 'type' && field !== 'call' && field !== 'version') {
        expect(text, `${name}.${field}`).toMatch(/^[A-Z0-9`]/);
      }
    }
  }
});

it('holds every event that a running gateway sends, and no field is missing in it', async () => {
  const agent = await startRecorder();
  const { twilio } = await startWithCarrier({}, { agent: agent.url });
  const phone = twilio.placeCall({
    from: '+15550001111',
    to: '+15552223333',
    webhookUrl: 'https://voice.example.com/edge/twilio/voice',
  });
  await phone.started;
  const has = (type: string) => () => agent.texts.some((text) => text.startsWith(`{"type":"${type}"`));
  await eventually('joined', has('joined'));
  phone.dtmf('5');
  await eventually('dtmf', has('dtmf'));
  for (let second = 0; second < 125; second++) agent.send(Buffer.alloc(32_000));
  await eventually('dropped', has('dropped'));
  agent.send('{"type":"mark","name":"end"}');
  agent.send('{"type":"clear"}');
  await eventually('mark', has('mark'));
  await eventually('cleared', has('cleared'));
  agent.send('nonsense');
  await eventually('error', has('error'));
  await phone.hangUp();
  await eventually('left', has('left'));
  const events = agent.texts.map((text) => JSON.parse(text));
  const isEvent = strict.compile({ $ref: 'leg#/$defs/Event' });
  for (const event of events) expect(isEvent(event), JSON.stringify([event, isEvent.errors])).toBe(true);
  expect(new Set(events.map(({ type }) => type))).toEqual(new Set(typesOf('Event')));
});

describe('a command', () => {
  const EXAMPLES: Readonly<Record<LegCommand['type'], object>> = {
    clear: {},
    mark: { name: 'answer-1' },
    dtmf: { digits: '12#w5W' },
    hangup: { phone: 'call-1', after: 'now' },
    transfer: { to: '+15551234567', phone: 'call-1' },
  };
  const isCommand = isOf('Command');

  it.each(typesOf('Command'))(
    '%s is accepted by the schema and the gateway, whole and without what is optional',
    (type) => {
      const name = `${type.charAt(0).toUpperCase()}${type.slice(1)}Command`;
      const { required = [] } = schema.$defs[name] as Definition;
      const whole = { type, ...EXAMPLES[type as LegCommand['type']] };
      const least = Object.fromEntries(Object.entries(whole).filter(([name]) => required.includes(name)));
      for (const command of [whole, least]) {
        expect(isCommand(command), JSON.stringify(isCommand.errors)).toBe(true);
        expect(parseLegCommand(JSON.stringify(command))).toEqual(command);
      }
    },
  );

  it('that is changed anywhere is refused by both or by neither', () => {
    const commands = Object.entries(EXAMPLES).map(([type, fields]) => ({ type, ...fields }));
    const wrong = fc.constantFrom<unknown>(null, 5, '', {}, [], true, 'x'.repeat(300), 'clear', 'now', '9');
    let refused = 0;
    fc.assert(
      fc.property(fc.constantFrom(...commands), fc.nat(), fc.option(wrong), (command, at, value) => {
        const names = Object.keys(command);
        const name = names[at % names.length] as string;
        const { [name as 'type']: _, ...rest } = command;
        const changed = value === null ? rest : { ...rest, [name]: value };
        const isAccepted = parseLegCommand(JSON.stringify(changed)) !== undefined;
        expect(isCommand(changed), JSON.stringify(changed)).toBe(isAccepted);
        if (!isAccepted) refused += 1;
      }),
      { numRuns: 500 },
    );
    expect(refused).toBeGreaterThan(100);
  });
});
