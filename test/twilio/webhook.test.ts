import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseForm } from '../../src/twilio/form.js';
import { CallWebhookInput, isFinalStatus } from '../../src/twilio/webhook.js';

const read = (body: string) => new CallWebhookInput(parseForm(body));

describe('a form', () => {
  test('keeps values untrimmed and decodes them', () => {
    expect({ ...parseForm('From=%2B1555&Body=+a+b%20&Empty=&Bare&U=%C3%A4') }).toEqual({
      From: '+1555',
      Body: ' a b ',
      Empty: '',
      Bare: '',
      U: 'ä',
    });
  });

  test('keeps every value of a repeated name, in order', () => {
    expect(parseForm('A=2&B=x&A=1&A=2').A).toEqual(['2', '1', '2']);
  });

  test.each(['', '&', '%', '=', '%E0%A4', 'a=%zz&&=b', '\0'])('takes %j without throwing', (body) => {
    expect(() => parseForm(body)).not.toThrow();
  });

  test('is parsed like URLSearchParams, whatever it contains', () => {
    const separator = fc.constantFrom('&', '=', '+');
    const encoded = fc.oneof(
      separator,
      fc.constantFrom('%', '%2', '%zz', '%26', '%3D', '%2B', '%25', '%00', 'a', 'Name', '0', '__proto__'),
      fc.constantFrom('%C3%A4', '%c3', '%F0%9F%98%80', '%EF%BB%BF'),
      fc.string({ unit: 'binary' }).map((text) => encodeURIComponent(text)),
    );
    // Non-ASCII characters are tested alone: Node misreads them next to a broken escape.
    const raw = fc.oneof(
      separator,
      fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('%', '')),
    );
    const pieces = (of: fc.Arbitrary<string>) => fc.array(of, { maxLength: 40 });
    fc.assert(
      fc.property(fc.oneof(pieces(encoded), pieces(raw)), (pieces) => {
        const body = pieces.join('');
        const form = parseForm(body);
        const expected = new Map<string, string[]>();
        for (const [name, value] of new URLSearchParams(body)) {
          expected.set(name, [...(expected.get(name) ?? []), value]);
        }
        expect(Object.keys(form).sort()).toEqual([...expected.keys()].sort());
        for (const [name, values] of expected) expect([form[name]].flat()).toEqual(values);
      }),
      { numRuns: 2_000 },
    );
  });

  test('accepts names of object properties', () => {
    const form = parseForm('__proto__=1&constructor=2&toString=3');
    expect(Object.keys(form)).toEqual(['__proto__', 'constructor', 'toString']);
    expect(form.constructor).toBe('2');
    expect(({} as Record<string, unknown>)['1']).toBeUndefined();
  });
});

describe('a voice webhook', () => {
  test('has every documented parameter by name', () => {
    const names = [
      'CallSid AccountSid From To CallStatus Direction ApiVersion Caller Called CallerName ForwardedFrom',
      'ParentCallSid CallToken StirVerstat AnsweredBy CallerCity CallerState CallerZip CallerCountry',
      'CalledCity CalledState CalledZip CalledCountry',
    ].flatMap((line) => line.split(' '));
    const input = read(names.map((name) => `${name}=the+${name}`).join('&')) as unknown as Record<
      string,
      string
    >;
    for (const name of names) {
      expect(input[(name[0] as string).toLowerCase() + name.slice(1)]).toBe(`the ${name}`);
    }
  });

  test('is empty text for a missing required parameter, undefined for an optional one', () => {
    const input = read('');
    for (const name of [
      'callSid',
      'accountSid',
      'from',
      'to',
      'callStatus',
      'direction',
      'caller',
      'called',
    ]) {
      expect(input[name as keyof CallWebhookInput]).toBe('');
    }
    expect(input.apiVersion).toBe('2010-04-01');
    for (const name of ['callerName', 'forwardedFrom', 'stirVerstat', 'callDuration', 'sequenceNumber']) {
      expect(input[name as keyof CallWebhookInput]).toBeUndefined();
    }
  });

  test('keeps unknown parameters', () => {
    expect(read('Brand=new').get('Brand')).toBe('new');
    expect(read('A=1&A=2').get('A')).toBe('1');
    expect(read('A=1').get('B')).toBeUndefined();
  });

  test('reads numbers', () => {
    const input = read('CallDuration=42&SequenceNumber=0');
    expect(input.callDuration).toBe(42);
    expect(input.sequenceNumber).toBe(0);
  });

  test('collects SIP headers', () => {
    expect(read('SipHeader_X-Id=7&SipHeader_=&SipDomain=a&X-Id=8').sipHeaders).toEqual({
      'X-Id': '7',
      '': '',
    });
  });
});

test('some statuses are final', () => {
  const final = ['completed', 'busy', 'failed', 'no-answer', 'canceled'];
  for (const status of final) expect(isFinalStatus(status)).toBe(true);
  for (const status of ['queued', 'initiated', 'ringing', 'in-progress', 'answered', '', 'Completed']) {
    expect(isFinalStatus(status)).toBe(false);
  }
});
