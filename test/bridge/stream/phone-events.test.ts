import { describe, expect, it } from 'vitest';
import { readCommand } from '../../../src/bridge/stream/phone-events.js';

const PHONE = 'phone-1';
const read = (custom: unknown) => readCommand(custom, PHONE);

describe('a command', () => {
  it.each([
    { type: 'phone.clear' },
    { type: 'phone.mark', name: 'greeting' },
    { type: 'phone.mark', name: 'x'.repeat(200) },
    { type: 'phone.mark', name: '</Response> "\n\u{1f600}' },
    { type: 'phone.dtmf', digits: '0123456789*#ABCDabcdwW' },
    { type: 'phone.dtmf', digits: 'W'.repeat(32) },
    { type: 'phone.mute' },
    { type: 'phone.unmute' },
    { type: 'phone.hangup' },
    { type: 'phone.hangup', after: 'words' },
    { type: 'phone.hangup', after: 'now' },
    { type: 'phone.transfer', to: '+15557654321' },
    { type: 'phone.transfer', to: `sip:${'x'.repeat(251)}` },
  ])('%j', (command) => {
    expect(read(command)).toEqual({ command });
    expect(read({ ...command, phone: PHONE }), 'for this very phone').toEqual({ command });
    expect(read({ ...command, note: 'x', nested: { a: [1] } }), 'with other fields').toEqual({ command });
  });

  it.each([
    [{ type: 'phone.mark' }, 'name'],
    [{ type: 'phone.mark', name: '' }, 'name'],
    [{ type: 'phone.mark', name: 7 }, 'name'],
    [{ type: 'phone.mark', name: null }, 'name'],
    [{ type: 'phone.mark', name: 'x'.repeat(201) }, 'name'],
    [{ type: 'phone.dtmf' }, 'digits'],
    [{ type: 'phone.dtmf', digits: '' }, 'digits'],
    [{ type: 'phone.dtmf', digits: 5 }, 'digits'],
    [{ type: 'phone.dtmf', digits: ['5'] }, 'digits'],
    [{ type: 'phone.dtmf', digits: '5x' }, 'digits'],
    [{ type: 'phone.dtmf', digits: '5\n' }, 'digits'],
    [{ type: 'phone.dtmf', digits: '1 2' }, 'digits'],
    [{ type: 'phone.dtmf', digits: '５' }, 'digits'],
    [{ type: 'phone.dtmf', digits: '1'.repeat(33) }, 'digits'],
    [{ type: 'phone.hangup', after: 'later' }, 'after'],
    [{ type: 'phone.transfer' }, 'to'],
    [{ type: 'phone.transfer', to: '' }, 'to'],
    [{ type: 'phone.transfer', to: { number: '+15557654321' } }, 'to'],
    [{ type: 'phone.transfer', to: 'x'.repeat(256) }, 'to'],
  ])('that is invalid names the field: %j', (custom, field) => {
    expect(read(custom)).toEqual({
      refused: custom.type,
      message: expect.stringMatching(
        new RegExp(`^Expected the fields of ${custom.type} but received others: ${field}: `),
      ),
    });
    expect(read({ ...custom, phone: PHONE })).toHaveProperty('refused', custom.type);
  });

  it('gets a short answer, whatever it contains', () => {
    const huge = read({ type: 'phone.mark', name: 'x'.repeat(1_000_000), digits: 'y'.repeat(1_000_000) });
    // Stream takes events of 5 KB.
    expect(JSON.stringify(huge).length).toBeLessThan(1_000);
  });

  it('with several invalid fields names them all', () => {
    expect(read({ type: 'phone.dtmf', digits: '' })).toHaveProperty('refused');
    expect(read({ type: 'phone.transfer', to: [] })).toHaveProperty('refused');
  });
});

describe('is not for this phone:', () => {
  it.each(['phone-2', 'phone-', 'PHONE-1', ' phone-1', '', null, 0, false, true, [PHONE], { id: PHONE }])(
    'a command for phone %j',
    (phone) => {
      expect(read({ type: 'phone.hangup', phone })).toBeUndefined();
      expect(read({ type: 'phone.mark', phone }), 'nor is it refused').toBeUndefined();
    },
  );

  it.each([
    'chat.message',
    'phone.digit',
    'phone.cleared',
    'phone.marked',
    'phone.error',
    'phone.',
    'phone',
    'phone.hangup ',
    'PHONE.HANGUP',
    '',
    '__proto__',
    'constructor',
    'prototype',
    'toString',
    'hasOwnProperty',
    'valueOf',
  ])('an event of type %j', (type) => {
    expect(read({ type, name: 'x', digits: '1', to: '+15557654321' })).toBeUndefined();
  });

  it.each([
    undefined,
    null,
    true,
    7,
    'phone.hangup',
    [],
    ['phone.hangup'],
    {},
    { type: undefined },
    { type: null },
    { type: 7 },
    { type: ['phone.hangup'] },
    { type: { toString: 'phone.hangup' } },
    { Type: 'phone.hangup' },
    { phone: PHONE },
    { custom: { type: 'phone.hangup' } },
  ])('%j', (custom) => {
    expect(read(custom)).toBeUndefined();
  });
});

describe('keys with a meaning in JavaScript', () => {
  const mark = '"type":"phone.mark","name":"a"';

  it.each([
    `{${mark},"__proto__":{"polluted":true}}`,
    `{${mark},"constructor":{"prototype":{"polluted":true}}}`,
    `{${mark},"prototype":{"polluted":true}}`,
    `{"__proto__":{"type":"phone.hangup"},${mark}}`,
    `{${mark},"toString":"x","valueOf":1,"hasOwnProperty":null,"toJSON":"y","then":"z"}`,
  ])('are not copied: %s', (json) => {
    const result = read(JSON.parse(json)) as { command: object };
    expect(result.command).toEqual({ type: 'phone.mark', name: 'a' });
    expect(Object.keys(result.command).sort()).toEqual(['name', 'type']);
    expect(Object.getPrototypeOf(result.command)).toBe(Object.prototype);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it('give no command without other keys', () => {
    expect(read(JSON.parse('{"__proto__":{"type":"phone.hangup"}}'))).toBeUndefined();
    expect(read(JSON.parse('{"type":"phone.hangup","__proto__":null}'))).toEqual({
      command: { type: 'phone.hangup' },
    });
  });
});
