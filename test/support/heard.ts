import { afterEach } from 'vitest';
import type { GatewayOptions } from '../../src/index.js';
import { AudioSource, type SimulatedPhone } from '../../src/simulator/index.js';
import { PUBLIC_URL } from './caller.js';
import { startWithCarrier } from './carrier.js';

const phones: SimulatedPhone[] = [];

afterEach(async () => {
  await Promise.all(phones.splice(0).map((phone) => phone.hangUp()));
});

/** A gateway, and phones that call it and keep what they hear; they hang up after the test. */
export async function startWithPhones(options: GatewayOptions) {
  const { twilio, gateway, url } = await startWithCarrier({}, options);
  const place = async (from: string, audio: AudioSource = AudioSource.silence()) => {
    const webhookUrl = `${PUBLIC_URL}/twilio/voice`;
    const phone = twilio.placeCall({ from, to: '+15552223333', webhookUrl, record: true, audio });
    phones.push(phone);
    return { phone, stream: await phone.started };
  };
  return { gateway, url, place };
}
