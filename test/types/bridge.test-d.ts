import {
  type Bridge,
  type BridgeLeg,
  createGateway,
  type JoinRequest,
  type LocalBridge,
  type PhoneLine,
  type StreamBridge,
} from 'trunkline';
import { expectTypeOf, test } from 'vitest';

/** A bridge as somebody else would write one: it plays the caller back. */
class Echo implements Bridge {
  readonly name = 'echo';

  async join({ callId, user, signal }: JoinRequest, line: PhoneLine): Promise<BridgeLeg> {
    expectTypeOf(callId).toBeString();
    expectTypeOf(user.id).toBeString();
    expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
    return {
      write: (frame, stamp) => {
        expectTypeOf(frame).toEqualTypeOf<Int16Array>();
        line.write(frame, stamp);
      },
      dtmf: (digit) => (digit === '#' ? line.hangUp() : line.transfer(digit)),
      marked: ({ name, playedMs, cleared }) => {
        expectTypeOf({ name, playedMs, cleared }).toEqualTypeOf<{
          name: string;
          playedMs: number;
          cleared: boolean;
        }>();
      },
      answered: async ({ direction, ringSeconds, isContinued }) => {
        expectTypeOf(direction).toEqualTypeOf<string | undefined>();
        expectTypeOf(ringSeconds).toEqualTypeOf<number | undefined>();
        expectTypeOf(isContinued).toEqualTypeOf<boolean | undefined>();
      },
      close() {},
    };
  }

  get isOverloaded() {
    return false;
  }

  async close() {}
}

test('a bridge can be of your own', () => {
  createGateway({ bridge: new Echo() });
  createGateway({ bridge: { name: 'none', join: async () => leg, close: async () => {} } });
  expectTypeOf<PhoneLine['clear']>().returns.toEqualTypeOf<{
    readonly playedMs: number;
    readonly discardedMs: number;
  }>();
});

const leg: BridgeLeg = { write() {}, dtmf() {}, close() {} };

test('an incomplete bridge is rejected', () => {
  // @ts-expect-error nothing frees it
  createGateway({ bridge: { name: 'a', join: async () => leg } });
  // @ts-expect-error unknown name
  createGateway({ bridge: { join: async () => leg, close: async () => {} } });
  // @ts-expect-error a leg is promised
  createGateway({ bridge: { name: 'a', join: () => leg, close: async () => {} } });
  // @ts-expect-error a leg hears keys
  const deaf: BridgeLeg = { write() {}, close() {} };
  createGateway({ bridge: { name: 'a', join: async () => deaf, close: async () => {} } });
});

test('ours are bridges', () => {
  expectTypeOf<LocalBridge>().toExtend<Bridge>();
  expectTypeOf<StreamBridge>().toExtend<Bridge>();
});
