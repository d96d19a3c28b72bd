import {
  type CallOutcome,
  type CallStatus,
  type SimulatedPhone,
  type SimulatedStream,
  SimulatedTwilio,
} from 'trunkline/simulator';
import { expectTypeOf, test } from 'vitest';

test('a simulated Twilio has an account, callees and calls', () => {
  const twilio = new SimulatedTwilio({
    authToken: 'secret',
    callees: { '+15550001111': { does: 'busy' }, '+15550002222': { does: 'answer', afterMs: 10 } },
  });
  expectTypeOf(twilio.listen()).resolves.toBeString();
  const phone = twilio.placeCall({ from: '+1', to: '+2', webhookUrl: 'http://127.0.0.1/twilio/voice' });
  expectTypeOf(phone).toEqualTypeOf<SimulatedPhone>();
  expectTypeOf(phone.started).resolves.toEqualTypeOf<SimulatedStream>();
  expectTypeOf(phone.ended).resolves.toEqualTypeOf<CallOutcome>();
  twilio.on('answered', (answered) => expectTypeOf(answered).toEqualTypeOf<SimulatedPhone>());
  phone.on('status', (status) => expectTypeOf(status).toEqualTypeOf<CallStatus>());

  // @ts-expect-error it signs everything, with a token
  new SimulatedTwilio({});
  // @ts-expect-error a callee who does no such thing
  new SimulatedTwilio({ authToken: 'secret', callee: { does: 'sing' } });
  // @ts-expect-error no webhook
  twilio.placeCall({ from: '+1', to: '+2' });
  // @ts-expect-error the account is its own
  twilio.placeCall({ from: '+1', to: '+2', webhookUrl: 'http://127.0.0.1/', accountSid: 'AC1' });
  // @ts-expect-error no such event
  twilio.on('ringing', () => {});
});
