import { describe, expect, it } from 'vitest';
import type { GatewayEvent } from '../../src/index.js';
import type { OutboundRequest } from '../../src/simulator/outbound-call.js';
import { postForm, voiceParameters } from '../support/caller.js';
import { startWithCarrier } from '../support/carrier.js';
import { eventually, virtualTime } from '../support/time.js';

virtualTime();

const KEY = 'control-key-of-the-tests';
const TO = '+15551234567';

async function start(callee: object = {}) {
  const started = await startWithCarrier(
    { callee: { does: 'answer', afterMs: 20, ...callee } },
    { controlApiKey: KEY, streamStatus: true },
  );
  const asked: OutboundRequest[] = [];
  started.twilio.on('placed', (request) => asked.push(request));
  const events: GatewayEvent[] = [];
  started.gateway.events.subscribe((event) => events.push(event));
  const send = async (method: string, path: string, body?: object) => {
    const response = await fetch(started.url + path, {
      method,
      headers: { authorization: `Bearer ${KEY}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    // biome-ignore lint/suspicious/noExplicitAny: tests check the body
    return { status: response.status, body: (await response.json()) as any };
  };
  return { ...started, asked, events, send };
}

describe('a call that is placed', () => {
  it('can use answering machine detection while the call continues', async () => {
    const { send, events, asked } = await start({ answeredBy: 'machine_start', answeredByAfterMs: 150 });
    const { status, body } = await send('POST', '/v1/calls', {
      to: TO,
      machineDetection: { mode: 'Enable', timeoutSeconds: 3, speechThresholdMs: 6_000 },
    });
    expect(status).toBe(201);
    expect(asked[0]?.amdCallback).toBe(`https://voice.example.com/edge/twilio/amd?callId=${body.callId}`);
    await eventually('the finding', () => events.some(({ type }) => type === 'call.answered-by'));
    expect(events.find(({ type }) => type === 'call.answered-by')).toMatchObject({
      call: { callId: body.callId, callSid: body.callSid },
      data: { answeredBy: 'machine_start', afterMs: 150 },
    });
    const view = (await send('GET', `/v1/calls/${body.callId}`)).body;
    expect(view.answeredBy).toBe('machine_start');
    expect(view.history.map((entry: { source: string; event: string }) => entry.event)).toEqual(
      expect.arrayContaining(['initiated', 'ringing', 'in-progress', 'stream-started', 'machine_start']),
    );
    await send('DELETE', `/v1/calls/${body.callId}`);
  });

  it('can dial digits, have a time limit, and be recorded by Twilio', async () => {
    const { send, asked, twilio } = await start();
    const { status, body } = await send('POST', '/v1/calls', {
      to: TO,
      sendDigits: 'ww12*#A',
      timeLimitSeconds: 1,
      twilioRecording: {
        channels: 'dual',
        track: 'inbound',
        trim: false,
        statusCallback: 'https://a.example/recorded',
        statusCallbackEvents: ['in-progress', 'completed'],
      },
    });
    expect([status, body]).toEqual([201, expect.anything()]);
    expect(asked[0]).toMatchObject({
      sendDigits: 'ww12*#A',
      timeLimitSeconds: 1,
      amdCallback: undefined,
      recording: {
        Record: 'true',
        RecordingChannels: 'dual',
        RecordingTrack: 'inbound',
        RecordingStatusCallback: 'https://a.example/recorded',
        RecordingStatusCallbackMethod: 'POST',
        RecordingStatusCallbackEvent: 'in-progress completed',
        Trim: 'do-not-trim',
      },
    });
    // Twilio ends it.
    await eventually('the limit', () => twilio.liveCalls === 0, 10_000);
  });

  it.each([
    ['machineDetection', { mode: 'Maybe' }],
    ['machineDetection', { mode: 'Enable', timeoutSeconds: 2 }],
    ['machineDetection', { mode: 'Enable', timeoutSeconds: 60 }],
    ['machineDetection', { mode: 'Enable', speechThresholdMs: 999 }],
    ['machineDetection', { mode: 'Enable', speechThresholdMs: 6_001 }],
    ['machineDetection', { mode: 'Enable', speechEndThresholdMs: 499 }],
    ['machineDetection', { mode: 'Enable', speechEndThresholdMs: 5_001 }],
    ['machineDetection', { mode: 'Enable', silenceTimeoutMs: 1_999 }],
    ['machineDetection', { mode: 'Enable', silenceTimeoutMs: 10_001 }],
    ['machineDetection', { mode: 'Enable', colour: 'red' }],
    ['machineDetection', {}],
    ['sendDigits', ''],
    ['sendDigits', '1'.repeat(33)],
    ['sendDigits', '12x'],
    ['timeLimitSeconds', 0],
    ['timeLimitSeconds', 86_401],
    ['timeLimitSeconds', 1.5],
    ['twilioRecording', true],
    ['twilioRecording', { channels: 'stereo' }],
    ['twilioRecording', { track: 'all' }],
    ['twilioRecording', { trim: 'yes' }],
    ['twilioRecording', { statusCallback: '/relative' }],
    ['twilioRecording', { statusCallbackEvents: [] }],
    ['twilioRecording', { statusCallbackEvents: ['begun'] }],
  ])('rejects %s %j with a 400 that names the field, and calls nobody', async (field, value) => {
    const { send, asked } = await start();
    const { status, body } = await send('POST', '/v1/calls', { to: TO, [field]: value });
    expect([status, body.error.code]).toEqual([400, 'GW_BAD_REQUEST']);
    expect(body.error.message).toContain(field);
    expect(asked).toEqual([]);
  });

  it('rejects digits together with machine detection, which Twilio would ignore', async () => {
    const { send } = await start();
    const { status, body } = await send('POST', '/v1/calls', {
      to: TO,
      sendDigits: '1',
      machineDetection: { mode: 'Enable' },
    });
    expect([status, body.error.message]).toEqual([
      400,
      expect.stringContaining('not together with machineDetection'),
    ]);
  });
});

describe('the history of a call', () => {
  it('lists its callbacks in order, each once, and ignores those of other calls', async () => {
    const { url, send, gateway } = await start();
    const parameters = voiceParameters();
    await postForm(url, '/twilio/voice', parameters);
    const { CallSid = '' } = parameters;
    const callId = gateway.calls.getBySid(CallSid)?.callId;
    const at = (second: number) => `Thu, 01 Jan 2026 00:00:0${second} +0000`;
    const tell = async (path: string, more: Record<string, string>) =>
      (await postForm(url, path, voiceParameters({ CallSid, ...more }))).status;
    const answered = { CallStatus: 'in-progress', SequenceNumber: '2', Timestamp: at(1) };
    expect(await tell('/twilio/status', answered)).toBe(204);
    expect(
      await tell('/twilio/stream-status', {
        StreamEvent: 'stream-error',
        StreamSid: 'MZ1',
        StreamError: '31920 WebSocket handshake error',
        Timestamp: '2026-01-01T00:00:03.000Z',
      }),
    ).toBe(204);
    await tell('/twilio/status', { CallStatus: 'ringing', SequenceNumber: '1', Timestamp: at(0) });
    await tell('/twilio/status', answered);
    await tell('/twilio/status', { CallSid: `CA${'f'.repeat(32)}`, CallStatus: 'busy', SequenceNumber: '0' });
    await tell('/twilio/amd', {});
    const { body } = await send('GET', `/v1/calls/${callId}`);
    expect(body.history).toEqual([
      { at: '2026-01-01T00:00:00.000Z', source: 'status', event: 'ringing', sequence: 1 },
      { at: '2026-01-01T00:00:01.000Z', source: 'status', event: 'in-progress', sequence: 2 },
      {
        at: '2026-01-01T00:00:03.000Z',
        source: 'stream',
        event: 'stream-error',
        streamSid: 'MZ1',
        error: '31920 WebSocket handshake error',
      },
    ]);
    expect(body.status).toBe('in-progress');
  });
});
