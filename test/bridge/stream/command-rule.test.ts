import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import { commandRule, isCommander } from '../../../src/bridge/stream/command-rule.js';
import { createLog } from '../../../src/telemetry/log.js';
import { talk } from '../../support/stream-fake.js';
import { eventually, sleep, virtualTime } from '../../support/time.js';

virtualTime();

it.each<[string, 'all' | string[], [string, string][], [string, string][]]>([
  [
    'everybody',
    'all',
    [
      ['anybody', 'guest'],
      ['', ''],
    ],
    [],
  ],
  ['nobody', [], [], [['admin', 'admin']]],
  [
    'a user',
    ['user:agent-1'],
    [['agent-1', 'user']],
    [
      ['agent-10', 'user'],
      ['agent', 'user'],
      ['Agent-1', 'user'],
    ],
  ],
  [
    'users that begin alike',
    ['user:bot-*'],
    [
      ['bot-', 'user'],
      ['bot-7', 'guest'],
    ],
    [
      ['bot', 'bot-7'],
      ['a-bot-7', 'user'],
    ],
  ],
  [
    'a role',
    ['role:admin'],
    [['ada', 'admin']],
    [
      ['admin', 'user'],
      ['ada', 'administrator'],
    ],
  ],
  [
    'any of several',
    ['role:admin', 'user:agent'],
    [
      ['ada', 'admin'],
      ['agent', 'user'],
    ],
    [['ada', 'agent']],
  ],
])('lets %s command phones, by %j', (_, list, may, mayNot) => {
  const rule = commandRule(list);
  for (const [userId, role] of may) expect([userId, role, rule(userId, role)]).toEqual([userId, role, true]);
  for (const [userId, role] of mayNot)
    expect([userId, role, rule(userId, role)]).toEqual([userId, role, false]);
});

it.each([
  ['user:a', true],
  ['role:call_member', true],
  ['user:a@b-*', true],
  ['user:*', false],
  ['user:', false],
  ['agent', false],
  ['role:a b', false],
  [7, false],
])('accepts the commander name %j: %s', (name, is) => {
  expect(isCommander(name)).toBe(is);
});

it('ignores and counts unauthorised commands, and executes the others', async () => {
  const lines: string[] = [];
  const log = createLog(
    'warn',
    new Writable({ write: (line, _, done) => done(void lines.push(String(line))) }),
  );
  const { caller, other, agent, host, gateway, url, hear, events } = await talk({
    bridge: { control: ['user:agent-2', 'role:admin'], log },
  });
  host.app.users.upsert({ id: 'ada', role: 'admin' });
  let clears = 0;
  caller.on('clear', () => {
    clears += 1;
  });
  for (const command of [
    { type: 'phone.clear' },
    { type: 'phone.mark' },
    { type: 'phone.hangup', after: 'now' },
  ])
    other.sendEvent(command);
  await sleep(1_000);
  await hear();
  expect([clears, gateway.stats().activeCalls]).toEqual([0, 1]);
  // Nobody answers them.
  expect(events().filter(({ phone, type }) => phone !== undefined && type !== 'phone.answered')).toEqual([]);
  expect(lines.map((line) => JSON.parse(line)).filter(({ command }) => command !== undefined)).toEqual([
    expect.objectContaining({ command: 'phone.clear', by: 'agent', role: 'user' }),
  ]);
  const metrics = await (await fetch(`${url}/metrics`)).text();
  expect(metrics).toMatch(/^trunkline_stream_commands_ignored_total 3$/m);
  agent('ada').sendEvent({ type: 'phone.clear' });
  await eventually('the clear of an admin', () => clears === 1);
  agent('agent-2').sendEvent({ type: 'phone.hangup' });
  expect(await caller.ended).toMatchObject({ status: 'completed' });
});

it.each([['some'], [['agent']], [[7]], [{}]])('a bridge takes no %j for it', async (control) => {
  await expect(talk({ bridge: { control: control as never } })).rejects.toThrow(
    /^Expected "all", a function or a list like user:agent-1, role:admin for control but received /,
  );
});
