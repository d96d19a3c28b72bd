import {
  type BridgeUser,
  type CallDecision,
  type CallWebhookInput,
  createGateway,
  type PhoneCall,
  type PrepareCallHook,
  type Refusal,
} from 'trunkline';
import { describe, expectTypeOf, test } from 'vitest';

/** A hook, as its user writes it down. */
const prepare = (prepareCall: PrepareCallHook) => createGateway({ prepareCall });

describe('prepareCall', () => {
  test('gets the call and a signal', () => {
    createGateway({
      prepareCall(call, signal) {
        expectTypeOf(call).toEqualTypeOf<PhoneCall>();
        expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
        expectTypeOf(call.webhookData).toEqualTypeOf<CallWebhookInput | undefined>();
        return { room: call.to ?? 'lobby' };
      },
    });
    expectTypeOf<PhoneCall['awaitPrepare']>().returns.resolves.toEqualTypeOf<CallDecision | undefined>();
  });

  test('decides at once or later, or keeps the defaults', () => {
    prepare(() => undefined);
    prepare(async () => undefined);
    prepare(() => ({}));
    prepare(async (call) => (call.from === 'anonymous' ? { refuse: 'rejected' } : { room: 'lobby' }));
    prepare(() => ({ refuse: { say: 'Nobody is here.', language: 'en-GB' } }));
    prepare(() => ({ bridge: false, dtmf: true, hold: { file: 'wait.wav' }, mute: 'both' }));
    prepare(() => ({ streamCall: { id: 'a' }, user: { name: 'Ada' }, parameters: { campaign: 'may' } }));
    prepare(() => ({
      before: [{ say: 'Hello', loop: 2 }, { pause: 1 }],
      after: [{ play: 'https://example.com/a.wav' }, { dial: '+15550001111', ringSeconds: 20 }],
    }));
  });

  test('decides nothing else', () => {
    // @ts-expect-error no room by that name
    prepare(() => ({ rooms: 'lobby' }));
    // @ts-expect-error a room is a text
    prepare(() => ({ room: 7 }));
    // @ts-expect-error Twilio knows no such reason
    prepare(() => ({ refuse: 'later' }));
    // @ts-expect-error refused, but with which words?
    prepare(() => ({ refuse: { language: 'en' } }));
    // @ts-expect-error a Stream call has an id
    prepare(() => ({ streamCall: { type: 'default' } }));
    // @ts-expect-error values of parameters are texts
    prepare(() => ({ parameters: { attempt: 1 } }));
    // @ts-expect-error no such verb
    prepare(() => ({ before: [{ shout: 'Hello' }] }));
    // @ts-expect-error a verb, not a text
    prepare(() => ({ after: ['Goodbye'] }));
    // @ts-expect-error `caller`, `room` or `both`
    prepare(() => ({ mute: true }));
    // @ts-expect-error a text is no decision
    prepare(async () => 'lobby');
    // @ts-expect-error nor is null
    prepare(() => null);
  });
});

test('a decision is plain data', () => {
  expectTypeOf<Extract<CallDecision, { refuse: unknown }>['refuse']>().toEqualTypeOf<Refusal>();
  expectTypeOf<Exclude<CallDecision, { refuse: unknown }>['user']>().toEqualTypeOf<
    Partial<BridgeUser> | undefined
  >();
});
