import { getEventListeners, once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { destinationOf } from '../../src/simulator/dial.js';
import {
  newSid,
  sendWebhook,
  signatureOf,
  statusParameters,
  streamStatusParameters,
  webhookParameters,
} from '../../src/simulator/index.js';
import { HOSTILITIES, HostileReceiver } from '../support/hostile.js';
import { freePort } from '../support/port.js';
import { ReferenceGateway, type ReferenceGatewayOptions } from '../support/reference-gateway.js';
import { VirtualClock } from '../support/virtual-clock.js';

const call = {
  callSid: newSid('CA'),
  accountSid: newSid('AC'),
  from: '+12065550100',
  to: '+14155550123',
  direction: 'inbound',
} as const;

let gateway: ReferenceGateway | undefined;
const listen = async (options: ReferenceGatewayOptions = {}) => {
  gateway = await ReferenceGateway.listen(options);
  return gateway;
};

afterEach(async () => {
  await gateway?.close();
  gateway = undefined;
});

describe('signatures', () => {
  const parameters = {
    CallSid: 'CA1234567890ABCDE',
    Caller: '+14158675310',
    Digits: '1234',
    From: '+14158675310',
    To: '+18005551212',
  };

  it('signs Twilio’s documented examples', () => {
    expect(signatureOf('12345', 'https://example.com/myapp.php?foo=1&bar=2', parameters)).toBe(
      'L/OH5YylLD5NRKLltdqwSvS0BnU=',
    );
    const older = { ...parameters, Caller: '+14158675309', From: '+14158675309' };
    expect(signatureOf('12345', 'https://mycompany.com/myapp.php?foo=1&bar=2', older)).toBe(
      'RSOYDt4T1cUTdK1PDd93/VVr8B8=',
    );
  });

  it('signs a media URL exactly as it is, including a trailing slash', () => {
    expect(signatureOf('12345', 'wss://example.com/twilio/media/abc')).toBe('Eh5vrOlh54OBGHF8ZgH2Le+KO+A=');
    expect(signatureOf('12345', 'wss://example.com/twilio/media/abc/')).toBe('XvFw68V04HrJKdAFoZ8+4Ke2Pxg=');
  });

  it('leaves out port and user info over https, keeps the port over http', () => {
    const plain = signatureOf('12345', 'https://mycompany.com/myapp.php?foo=1&bar=2', parameters);
    expect(
      signatureOf('12345', 'https://user:pass@mycompany.com:8443/myapp.php?foo=1&bar=2', parameters),
    ).toBe(plain);
    expect(signatureOf('12345', 'http://u:p@127.0.0.1:3000/a')).toBe(
      signatureOf('12345', 'http://127.0.0.1:3000/a'),
    );
    expect(signatureOf('12345', 'http://127.0.0.1:3000/a')).not.toBe(
      signatureOf('12345', 'http://127.0.0.1/a'),
    );
  });
});

describe('parameters', () => {
  it('has all that Twilio documents for a voice webhook', () => {
    const names = Object.keys(webhookParameters(call, 'ringing'));
    const places = ['From', 'To', 'Caller', 'Called'].flatMap((who) =>
      ['City', 'State', 'Zip', 'Country'].map((what) => who + what),
    );
    const plain = [
      'AccountSid',
      'ApiVersion',
      'CallSid',
      'CallStatus',
      'Called',
      'Caller',
      'Direction',
      'From',
      'To',
    ];
    expect(names).toEqual(expect.arrayContaining([...places, ...plain]));
    expect(webhookParameters(call, 'ringing', { CallerName: 'A B' })).toMatchObject({
      CallStatus: 'ringing',
      Caller: call.from,
      Called: call.to,
      CallerName: 'A B',
    });
  });

  it('has duration and SIP response only at the end of a call', () => {
    expect(statusParameters(call, 'ringing', 1)).not.toHaveProperty('CallDuration');
    expect(statusParameters(call, 'completed', 3, 61)).toMatchObject({
      CallStatus: 'completed',
      CallDuration: '61',
      Duration: '2',
      SequenceNumber: '3',
      CallbackSource: 'call-progress-events',
      Timestamp: expect.stringMatching(/^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000$/),
    });
    expect(statusParameters(call, 'busy', 1, 0)).toMatchObject({ CallDuration: '0', SipResponseCode: '486' });
    expect(statusParameters(call, 'busy', 1, 0)).not.toHaveProperty('Duration');
  });

  it('names stream events and errors', () => {
    const stream = { accountSid: 'AC1', callSid: 'CA1', streamSid: 'MZ1', name: 'one' };
    expect(streamStatusParameters(stream, 'stream-error', '31920: no')).toMatchObject({
      StreamEvent: 'stream-error',
      StreamError: '31920: no',
      StreamName: 'one',
    });
  });
});

describe('dial mapping', () => {
  const dial = { publicUrl: 'https://voice.example.com/prefix', target: 'http://127.0.0.1:3000' };

  it('connects to the target and strips the prefix, as a proxy does', () => {
    const { url, headers } = destinationOf('wss://voice.example.com/prefix/twilio/media/a', dial);
    expect(url.href).toBe('ws://127.0.0.1:3000/twilio/media/a');
    expect(headers).toEqual({
      host: 'voice.example.com',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'voice.example.com',
    });
  });

  it('sends no prefix and no headers if configured', () => {
    const bare = { ...dial, stripPrefix: false, proxyHeaders: false };
    const { url, headers } = destinationOf('https://voice.example.com/prefix/a?b=1', bare);
    expect([url.href, headers]).toEqual(['http://127.0.0.1:3000/prefix/a?b=1', {}]);
  });

  it('does not change other hosts and a path with a similar name', () => {
    expect(destinationOf('https://other.example.com/a', dial).url.href).toBe('https://other.example.com/a');
    expect(destinationOf('https://voice.example.com/prefixes', dial).url.pathname).toBe('/prefixes');
  });
});

describe('requests', () => {
  it('posts a signed form under the public name', async () => {
    const { publicUrl, target, voiceUrl, requests } = await listen({
      publicUrl: 'https://voice.example.com',
    });
    const parameters = webhookParameters(call, 'ringing', { CallerName: ' Zoë & co ' });
    const dial = { publicUrl, target };
    const answer = await sendWebhook(voiceUrl, parameters, { authToken: '12345', dial });
    expect(answer).toMatchObject({ status: 200, contentType: 'text/xml' });
    expect(requests[0]?.form).toEqual(parameters);
    expect(requests[0]?.headers).toMatchObject({
      host: 'voice.example.com',
      'content-type': 'application/x-www-form-urlencoded; charset=UTF-8',
    });
    expect(await sendWebhook(voiceUrl, parameters, { authToken: '54321', dial })).toMatchObject({
      status: 403,
    });
    expect(await sendWebhook(voiceUrl, parameters, { authToken: undefined, dial })).toMatchObject({
      status: 403,
    });
  });

  it('follows ten redirects and no more', async () => {
    const { voiceUrl, requests } = await listen({
      answer: () => ({ status: 307, contentType: 'text/plain', body: '', location: '/voice' }),
    });
    await expect(sendWebhook(voiceUrl, {}, { authToken: '12345' })).rejects.toMatchObject({
      code: 'GW_SIM_11215',
    });
    expect(requests).toHaveLength(11);
  });

  it('reports an unreachable server, a missing response, and an aborted request', async () => {
    const nowhere = `http://127.0.0.1:${await freePort()}/voice`;
    await expect(sendWebhook(nowhere, {}, { authToken: 'x' })).rejects.toMatchObject({
      code: 'GW_SIM_11205',
    });
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/`;
    const clock = new VirtualClock();
    const late = sendWebhook(url, {}, { authToken: 'x', clock });
    await once(silent, 'connection');
    clock.advance(14_999);
    expect(clock.pending).toBe(1);
    clock.advance(1);
    await expect(late).rejects.toThrow(/none within 15000 ms/);
    const abort = new AbortController();
    const pending = sendWebhook(url, {}, { authToken: 'x', signal: abort.signal });
    abort.abort();
    await expect(pending).rejects.toMatchObject({ code: 'GW_SIM_11200' });
    silent.close();
  });

  it.each(Object.entries(HOSTILITIES).filter(([, { scheme }]) => scheme === undefined))(
    'ends when the server %s',
    async (_, hostility) => {
      const server = await HostileReceiver.start(() => hostility);
      const clock = new VirtualClock();
      clock.start();
      const abort = new AbortController();
      const sent = sendWebhook(server.url(), {}, { authToken: 'x', clock, signal: abort.signal });
      const outcome = await sent.then(
        ({ status }) => status,
        (error) => error.code,
      );
      clock.halt();
      expect(String(outcome)).toMatch(/^(GW_SIM_112\d\d|\d{3})$/);
      expect(getEventListeners(abort.signal, 'abort')).toHaveLength(0);
    },
  );
});
