import { describe, expect, it } from 'vitest';
import { parseTwiml, twimlOf } from '../../src/simulator/index.js';

const answer = (body: string, contentType = 'text/xml', status = 200) =>
  twimlOf({ status, contentType, body, url: 'https://voice.example.com/twilio/voice' });

const codeOf = (run: () => unknown) => {
  try {
    run();
  } catch (error) {
    return (error as { code?: string }).code;
  }
  return 'no error';
};

const stream = (attributes: string, children = '') =>
  `<Response><Connect><Stream ${attributes}>${children}</Stream></Connect></Response>`;

describe('parsing', () => {
  it('reads a stream with its parameters and callbacks', () => {
    const xml =
      '<?xml version="1.0" encoding="UTF-8"?><!-- a call --><Response><Connect action="/after" method="GET">' +
      '<Stream url="wss://voice.example.com/media/1" name="one" statusCallback="https://voice.example.com/s">' +
      '<Parameter name="room" value="A &amp; &quot;B&quot; &#233;"/><Parameter name="empty" value=""/>' +
      '</Stream></Connect></Response>';
    expect(answer(xml, 'text/xml; charset=utf-8')).toEqual([
      {
        verb: 'stream',
        url: 'wss://voice.example.com/media/1',
        name: 'one',
        parameters: { room: 'A & "B" é', empty: '' },
        statusCallback: 'https://voice.example.com/s',
        statusCallbackMethod: 'POST',
        action: 'https://voice.example.com/after',
        method: 'GET',
      },
    ]);
  });

  it('reads the other verbs, in order', () => {
    expect(
      parseTwiml(
        '<Response><Say language="en">Hello</Say><Pause length="2"/><Redirect>https://a.example/b</Redirect>' +
          '<Reject reason="busy"/><Reject/><Hangup/></Response>',
      ),
    ).toEqual([
      { verb: 'say', text: 'Hello' },
      { verb: 'pause', seconds: 2 },
      { verb: 'redirect', url: 'https://a.example/b', method: 'POST' },
      { verb: 'reject', reason: 'busy' },
      { verb: 'reject', reason: 'rejected' },
      { verb: 'hangup' },
    ]);
    expect(parseTwiml('<Response/>')).toEqual([]);
  });

  it('resolves a relative stream URL against the webhook’s', () => {
    expect(answer(stream('url="/media/1"'))[0]).toMatchObject({ url: 'wss://voice.example.com/media/1' });
  });

  it('allows ws:// to this machine only', () => {
    expect(parseTwiml(stream('url="ws://127.0.0.1:3000/a"'))).toHaveLength(1);
    expect(parseTwiml(stream('url="ws://localhost/a"'))).toHaveLength(1);
  });
});

describe('refusals, by Twilio’s codes', () => {
  it.each([
    ['GW_SIM_11200', () => answer('<Response/>', 'text/xml', 500)],
    ['GW_SIM_11200', () => answer('<Response/>', 'text/xml', 403)],
    ['GW_SIM_12300', () => answer('<Response/>', 'application/json')],
    ['GW_SIM_12300', () => answer('<Response/>', '')],
    ['GW_SIM_12100', () => answer('')],
    ['GW_SIM_12100', () => answer('hello')],
    ['GW_SIM_12100', () => answer('<Response><Say></Response>')],
    ['GW_SIM_12100', () => answer('<Responses/>')],
    ['GW_SIM_12100', () => answer('<Response/><Response/>')],
    ['GW_SIM_12200', () => answer('<Response><Sing/></Response>')],
    ['GW_SIM_12200', () => answer('<Response><Connect/></Response>')],
    ['GW_SIM_12200', () => answer(stream('url="wss://a.example/b" track="both_tracks"'))],
    [
      'GW_SIM_12200',
      () => answer(stream('url="wss://a.example/b"', `<Parameter name="a" value="${'b'.repeat(499)}"/>`)),
    ],
    ['GW_SIM_UNSUPPORTED', () => answer('<Response><Record/></Response>')],
    ['GW_SIM_UNSUPPORTED', () => answer('<Response><Dial><Conference>a</Conference></Dial></Response>')],
    ['GW_SIM_12200', () => answer('<Response><Dial/></Response>')],
    ['GW_SIM_11100', () => answer(stream('url="ws://voice.example.com/a"'))],
    ['GW_SIM_11100', () => answer(stream('url="https://voice.example.com/a"'))],
    ['GW_SIM_11100', () => answer(stream(''))],
    ['GW_SIM_31920', () => answer(stream('url="wss://voice.example.com/a?b=1"'))],
  ])('%s', (code, run) => {
    expect(codeOf(run)).toBe(code);
  });

  it('has the status of a bad response, in the form of our errors', () => {
    expect(() => answer('', 'text/plain', 502)).toThrow(
      'Expected status 200 from https://voice.example.com/twilio/voice but received 502',
    );
  });
});
