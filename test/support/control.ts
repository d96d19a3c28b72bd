import type { GatewayOptions } from '../../src/index.js';
import type { AudioSource, SimulatedPhone, SimulatedTwilioOptions } from '../../src/simulator/index.js';
import { PUBLIC_URL } from './caller.js';
import { startWithCarrier } from './carrier.js';
import { KEY } from './leg.js';
import { decibels, usualAmplitude } from './media.js';
import { eventually } from './time.js';

/** One request to `/v1/calls/{id}` or below. A body that is neither text nor bytes is sent as JSON. */
export async function ask(
  url: string,
  method: string,
  callId: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
) {
  const raw = typeof body === 'string' || body instanceof Uint8Array;
  const response = await fetch(`${url}/v1/calls/${callId}${path && `/${path}`}`, {
    method,
    headers: { authorization: `Bearer ${KEY}`, ...headers },
    ...(body === undefined ? {} : { body: raw ? (body as string) : JSON.stringify(body) }),
  });
  // biome-ignore lint/suspicious/noExplicitAny: tests check the body
  return { status: response.status, body: (await response.json()) as any };
}

/** A gateway with a control key, and callers that play and record audio. */
export async function startControlled(
  options: GatewayOptions = {},
  carrier: Omit<SimulatedTwilioOptions, 'authToken' | 'accountSid' | 'dial'> = {},
) {
  const started = await startWithCarrier(carrier, { controlApiKey: KEY, ...options });
  const events: { type: string; data: Record<string, unknown> }[] = [];
  started.gateway.events.subscribe(({ type, data }) =>
    events.push({ type, data: data as Record<string, unknown> }),
  );
  const place = async (audio?: AudioSource) => {
    const called = new Promise<string>((resolve) => {
      started.gateway.once('call', ({ callId }) => resolve(callId));
    });
    const phone = started.twilio.placeCall({
      from: '+15550001111',
      to: '+15552223333',
      webhookUrl: `${PUBLIC_URL}/twilio/voice`,
      record: true,
      ...(audio === undefined ? {} : { audio }),
    });
    const callId = await called;
    await phone.started;
    await eventually('live', () => started.gateway.calls.get(callId)?.state === 'live');
    const control = (method: string, path: string, body?: unknown, headers?: Record<string, string>) =>
      ask(started.url, method, callId, path, body, headers);
    const view = async () => (await ask(started.url, 'GET', callId, '')).body;
    return { phone, callId, control, view };
  };
  /** Waits for an event of this kind, the first of them. */
  const event = async (type: string) => {
    await eventually(type, () => events.some((each) => each.type === type), 10_000);
    return events.find((each) => each.type === type)?.data;
  };
  return { ...started, events, event, place };
}

/** Level of a tone in what a phone heard in the latest so many milliseconds, in dB to full scale. */
export function hears(phone: Pick<SimulatedPhone, 'heard'>, hz: number, ms = 500): number {
  const heard = phone.heard();
  return decibels(usualAmplitude(hz, 8_000, heard.subarray(Math.max(0, heard.length - ms * 8))) / 32_768);
}
