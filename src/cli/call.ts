import { Command } from 'commander';
import type { PlacedCall } from '../calls/call-service.js';
import type { ErrorCode } from '../error-catalogue.js';
import { GatewayError } from '../errors.js';
import type { Gateway } from '../gateway.js';
import { gatewayFor, stopped } from './running-gateway.js';
import { readSettings } from './settings.js';
import type { Shell } from './shell.js';
import { whole } from './whole.js';

interface CallFlags {
  readonly to: string;
  readonly from?: string;
  readonly room?: string;
  readonly agent?: string;
  readonly ring?: number;
  readonly digits?: string;
  readonly limit?: number;
  readonly detectMachine?: boolean;
  readonly gateway?: string;
  readonly json?: boolean;
}

/** Longer than a gateway waits for Twilio, its tries and the router included. */
const ANSWER_MS = 60_000;

/** `trunkline call --to N` */
export function callCommand(shell: Shell): Command {
  return new Command('call')
    .requiredOption('--to <number>', 'who is called: E.164, client:… or sip:…')
    .option('--from <number>', 'caller id (default: TWILIO_FROM)')
    .option('--room <name>', 'room to join (default: a new one)')
    .option(
      '--agent <agent>',
      'who speaks: a ws:// or wss:// URL, or a model like openai:gpt-realtime (default: AGENT)',
    )
    .option('--ring <seconds>', 'how long to let it ring, 1 to 600 (default: 60)', whole(1, 600))
    .option('--digits <keys>', 'keys to dial once it is answered: 0-9 A-D * # w W')
    .option('--limit <seconds>', 'end it after so long, 1 to 86400 (default: 14400)', whole(1, 86_400))
    .option('--detect-machine', 'find out who or what answers, for events and /v1/calls')
    .option('--gateway <url>', 'a running gateway to ask; needs its CONTROL_API_KEY')
    .option('--json', 'print the result as JSON')
    .action(async (flags: CallFlags) => {
      const request = {
        to: flags.to,
        ...(flags.from && { from: flags.from }),
        ...(flags.room && { room: flags.room }),
        ...(flags.agent && { agent: flags.agent }),
        ...(flags.ring && { ringTimeoutSeconds: flags.ring }),
        ...(flags.digits && { sendDigits: flags.digits }),
        ...(flags.limit && { timeLimitSeconds: flags.limit }),
        ...(flags.detectMachine && { machineDetection: { mode: 'Enable' as const } }),
      };
      const print = ({ callId, callSid }: PlacedCall) =>
        shell.console.log(
          flags.json
            ? JSON.stringify({ callId, callSid })
            : `calling ${flags.to}: ${callSid} (call ${callId})`,
        );
      if (flags.gateway !== undefined) {
        const { env } = await readSettings(shell.env);
        print(await askGateway(flags.gateway, env.CONTROL_API_KEY, request));
        return;
      }
      const { gateway, config } = await gatewayFor(shell, shell.stderr);
      await gateway.listen();
      void stopped(gateway, config.drainMs, shell);
      try {
        const placed = await gateway.placeCall(request);
        print(placed);
        if (!(await wasAnswered(gateway, placed.callId))) {
          shell.console.error('the call was not answered');
          shell.exitCode = 1;
        }
      } finally {
        await gateway.close();
      }
    });
}

/** Waits until the call is over; whether anybody was ever on the phone. */
async function wasAnswered(gateway: Gateway, callId: string): Promise<boolean> {
  const call = gateway.calls.get(callId);
  if (call === undefined) return false;
  const stream = gateway.stream(callId);
  await new Promise<void>((resolve) => call.onEnd(() => resolve()));
  return stream?.start !== undefined;
}

async function askGateway(url: string, key: string | undefined, request: object): Promise<PlacedCall> {
  if (!key)
    throw new GatewayError('GW_UNAUTHORIZED', 'Expected CONTROL_API_KEY for --gateway but received nothing');
  const { systemClock } = await import('../clock.js');
  let body: PlacedCall & { error?: { code: ErrorCode; message: string } };
  try {
    body = await systemClock.limited(ANSWER_MS, async (signal) => {
      const response = await fetch(new URL('/v1/calls', url), {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify(request),
        signal,
      });
      return (await response.json()) as typeof body;
    });
  } catch (error) {
    throw new GatewayError('GW_GATEWAY_UNREACHABLE', `No gateway answers at ${url}`, {
      cause: error,
    });
  }
  if (body.error !== undefined) throw new GatewayError(body.error.code, body.error.message);
  return body;
}
