import {
  type AnsweredFacts,
  type Bridge,
  type CallReport,
  createGateway,
  type EndCause,
  type Gateway,
  GatewayError,
  type GatewayOptions,
  LocalBridge,
  type MarkEcho,
  type PhoneCall,
  type PlacedCall,
  readConfig,
  type TwilioMediaStream,
} from 'trunkline';
import { describe, expectTypeOf, test } from 'vitest';

describe('createGateway', () => {
  test('accepts nothing, options, and a configuration of the environment', () => {
    expectTypeOf(createGateway).parameter(0).toEqualTypeOf<GatewayOptions | undefined>();
    expectTypeOf(createGateway).returns.toExtend<Gateway>();
    createGateway({ port: 0, tls: { certFile: 'a', keyFile: 'b' }, twilio: { validate: false } });
    createGateway({ ...readConfig(), bridge: new LocalBridge() });
  });

  test('rejects unknown options and wrong values', () => {
    // @ts-expect-error a name that is almost one
    createGateway({ publicURL: 'https://example.com' });
    // @ts-expect-error a port is a number
    createGateway({ port: '3000' });
    // @ts-expect-error tokens are a list
    createGateway({ twilio: { authTokens: 'secret' } });
    // @ts-expect-error a certificate has a key
    createGateway({ tls: { certFile: 'a' } });
    // @ts-expect-error `call` or `to`
    createGateway({ localRoom: 'from' });
    // @ts-expect-error `undefined` is not allowed: leave the option out
    createGateway({ host: undefined });
    // @ts-expect-error a router signs what it is asked
    createGateway({ router: { url: 'https://example.com' } });
  });
});

describe('a gateway', () => {
  test('emits events of its calls', () => {
    const gateway = createGateway();
    gateway.on('call', (call, stream) => {
      expectTypeOf(call).toEqualTypeOf<PhoneCall>();
      expectTypeOf(stream).toEqualTypeOf<TwilioMediaStream>();
    });
    gateway.on('end', (call, cause, report) => {
      expectTypeOf(call).toEqualTypeOf<PhoneCall>();
      expectTypeOf(cause).toEqualTypeOf<EndCause>();
      expectTypeOf(report).toEqualTypeOf<CallReport>();
    });
    gateway.on('answered', (_call, facts) => expectTypeOf(facts).toEqualTypeOf<AnsweredFacts>());
    gateway.on('mark', (_call, echo) => expectTypeOf(echo).toEqualTypeOf<MarkEcho>());
    // @ts-expect-error no such event
    gateway.on('hangup', () => {});
    // @ts-expect-error its listener is given a call, not a text
    gateway.on('call', (call: string) => call);
  });

  test('listens, places calls and closes', () => {
    expectTypeOf<Gateway['listen']>().returns.resolves.toEqualTypeOf<{
      host: string;
      port: number;
      url: string;
      operationsUrl: string;
    }>();
    expectTypeOf<Gateway['placeCall']>().returns.resolves.toEqualTypeOf<PlacedCall>();
    expectTypeOf<Gateway['close']>().returns.resolves.toBeVoid();
    expectTypeOf<Gateway['stream']>().returns.toEqualTypeOf<TwilioMediaStream | undefined>();
    const gateway = createGateway();
    // @ts-expect-error to whom?
    gateway.placeCall({ from: '+15550001111' });
    // @ts-expect-error its bridge is its own
    expectTypeOf(gateway.bridge).toEqualTypeOf<Bridge>();
  });
});

test('an error has one of our codes, and a status', () => {
  expectTypeOf<GatewayError>().toExtend<Error>();
  expectTypeOf<GatewayError['code']>().toExtend<`GW_${string}`>();
  expectTypeOf<'GW_CALL_ENDED'>().toExtend<GatewayError['code']>();
  expectTypeOf<'GW_NO_SUCH_CODE'>().not.toExtend<GatewayError['code']>();
  expectTypeOf<GatewayError['status']>().toEqualTypeOf<number>();
  new GatewayError('GW_CALL_ENDED', 'Call a has already ended', { status: 409 });
  // @ts-expect-error not a code of ours
  new GatewayError('CALL_ENDED', 'Call a has already ended');
  const { code } = new GatewayError('GW_CALL_ENDED', 'Call a has already ended');
  // @ts-expect-error a code that none can have
  if (code === 'ENOENT') throw new Error(code);
  // @ts-expect-error it stays as it is
  new GatewayError('GW_A', 'a').code = 'GW_B';
});
