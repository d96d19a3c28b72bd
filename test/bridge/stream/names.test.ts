import { describe, expect, it } from 'vitest';
import { parseCallName } from '../../../src/bridge/stream/call-name.js';
import { transferRule } from '../../../src/bridge/stream/command-rule.js';

const LONGEST = 'x'.repeat(64);

describe('the name of a Stream call', () => {
  it.each([
    ['desk', 'default', 'desk'],
    ['audio_room:desk-7', 'audio_room', 'desk-7'],
    ['default:0b5c9f6e-91c3-4f41-8bf6-3a1a9a9f6f5e', 'default', '0b5c9f6e-91c3-4f41-8bf6-3a1a9a9f6f5e'],
    [`${LONGEST}:${LONGEST}`, LONGEST, LONGEST],
    ['-:_', '-', '_'],
    ['__proto__', 'default', '__proto__'],
  ])('%s', (room, type, id) => {
    expect(parseCallName(room)).toEqual({ type, id });
  });

  it.each([
    '',
    ':',
    'default:',
    ':desk',
    'a:b:c',
    'no such name',
    'desk/7',
    'desk?x=1',
    '../users',
    'default:desk%2f7',
    'désk',
    'desk\n',
    'desk\0',
    `x${LONGEST}`,
    `default:x${LONGEST}`,
    'to:+15552223333',
  ])('cannot be %j', (room) => {
    expect(() => parseCallName(room)).toThrow(
      expect.objectContaining({
        code: 'GW_STREAM_CALL_NAME',
        status: 400,
        message: expect.stringMatching(/^Expected "id" or "type:id".* but received "/),
      }),
    );
  });
});

describe('a list of transfer targets', () => {
  it.each<[readonly string[], string, boolean]>([
    [[], '+15551234567', false],
    [[''], '+15551234567', false],
    [['+15551234567'], '+15551234567', true],
    [['+15551234567'], '+155512345678', false],
    [['+15551234567'], '+1555123456', false],
    [['+1555*'], '+1555', true],
    [['+1555*'], '+15551234567', true],
    [['+1555*'], '+1556', false],
    [['+1555*'], ' +15551234567', false],
    [['*'], '+15551234567', true],
    [['*'], '', true],
    [['sip:desk@example.com'], 'sip:desk@example.com', true],
    [['sip:desk@example.com'], 'SIP:desk@example.com', false],
    [['sip:*'], 'sip:anybody@example.com', true],
    [['+44*', '+1555*'], '+15551234567', true],
    [['+44*', '+1555*'], '+4930123456', false],
    // Only at the end, and nothing else is special.
    [['+1*7'], '+15551234567', false],
    [['+1*7'], '+1*7', true],
    [['+1555.......'], '+15551234567', false],
    [['+1**'], '+1*', true],
    [['+1**'], '+15', false],
  ])('%j and %j: %s', (numbers, to, allowed) => {
    expect(transferRule(numbers)(to)).toBe(allowed);
  });
});
