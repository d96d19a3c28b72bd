import { mkdirSync, writeFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { GatewayError } from '../errors.js';
import { AudioSource } from '../simulator/audio.js';
import { type LoadReport, runLoad } from '../simulator/load.js';
import { loadTable } from './load-table.js';
import { RunProgress } from './progress.js';
import { faultsOf } from './verdict.js';
import { whole } from './whole.js';

interface SimulateFlags {
  readonly url: string;
  readonly target?: string;
  readonly calls: number;
  readonly rate: number;
  readonly duration: number;
  readonly audio?: string;
  readonly record?: string;
  readonly json?: string | true;
  readonly echo: boolean;
  readonly jitter?: number;
  readonly burst?: number;
  readonly accountSid?: string;
  readonly authToken?: string;
}

/** `trunkline simulate` */
export function simulateCommand(): Command {
  return new Command('simulate')
    .description('place signed calls as Twilio would, against any server that speaks Media Streams')
    .requiredOption('--url <url>', 'the voice webhook, as Twilio would be told: https://host/twilio/voice')
    .option('--target <url>', 'connect here instead, e.g. http://127.0.0.1:3000, and sign for --url')
    .option('--calls <n>', 'calls at the same time', whole(1, 10_000), 1)
    .option('--rate <cps>', 'calls placed a second', whole(1, 1000), 20)
    .option('--duration <s>', 'seconds all of them talk', whole(1, 86_400), 10)
    .option('--audio <file>', 'WAV that the callers say (default: a recording that comes along)')
    .option('--record <dir>', 'write what the first callers hear as WAV files')
    .option('--jitter <ms>', 'send frames up to so much late', whole(0, 1000))
    .option('--burst <frames>', 'send frames in bursts of so many', whole(1, 500))
    .option('--no-echo', 'the server is no echo: do not expect the audio back')
    .option('--json [file]', 'write the report as JSON, to standard output where no file is named')
    .addOption(new Option('--account-sid <sid>', 'account that calls').env('TWILIO_ACCOUNT_SID'))
    .addOption(new Option('--auth-token <token>', 'signs webhook and upgrade').env('TWILIO_AUTH_TOKEN'))
    .addHelpText(
      'after',
      '\nExit code 1 when a call failed, or the audio did not come back whole from an echo.',
    )
    .action(async (flags: SimulateFlags) => {
      const report = await simulate(flags);
      const faults = faultsOf(report, { echo: flags.echo });
      if (flags.json === true) console.log(JSON.stringify({ ...report, faults }, null, 2));
      else {
        if (flags.json !== undefined)
          writeFileSync(flags.json, JSON.stringify({ ...report, faults }, null, 2));
        console.log(loadTable(report));
        const cpu = `generator: ${(report.generator.cpu * 100).toFixed(0)} % of a core`;
        console.log(report.generatorLimited ? `${cpu}: it was the limit, the figures are void` : cpu);
        if (faults.length > 0) console.log(`FAILED: ${faults.join('; ')}`);
      }
      if (faults.length > 0) process.exitCode = 1;
    });
}

async function simulate(flags: SimulateFlags): Promise<LoadReport> {
  const authToken = flags.authToken?.split(',')[0]?.trim();
  if (!authToken) {
    throw new GatewayError(
      'GW_AUTH_TOKEN_MISSING',
      'Expected --auth-token (or TWILIO_AUTH_TOKEN) to sign with but received none',
    );
  }
  if (!URL.canParse(flags.url)) {
    throw new GatewayError(
      'GW_SIM_OPTIONS',
      `Expected an absolute URL for --url but received "${flags.url}"`,
    );
  }
  if (flags.record !== undefined) mkdirSync(flags.record, { recursive: true });
  const progress = new RunProgress(flags.calls, flags.duration);
  const leaving = new AbortController();
  const leave = () => leaving.abort();
  process.once('SIGINT', leave).once('SIGTERM', leave);
  try {
    return await runLoad({
      webhookUrl: flags.url,
      authToken,
      calls: flags.calls,
      rate: flags.rate,
      durationMs: flags.duration * 1000,
      signal: leaving.signal,
      onProgress: progress.update,
      profile: {
        ...(flags.jitter !== undefined && { jitterMs: flags.jitter }),
        ...(flags.burst !== undefined && { burstFrames: flags.burst }),
      },
      ...(flags.accountSid !== undefined && { accountSid: flags.accountSid }),
      ...(flags.audio !== undefined && { audio: AudioSource.file(flags.audio) }),
      ...(flags.record !== undefined && { recordDirectory: flags.record }),
      ...(flags.target !== undefined && { dial: { publicUrl: publicBase(flags.url), target: flags.target } }),
    });
  } finally {
    progress.stop();
    process.off('SIGINT', leave).off('SIGTERM', leave);
  }
}

/** `https://host/prefix` of `https://host/prefix/twilio/voice`; another server's webhook has no prefix to strip. */
function publicBase(webhookUrl: string): string {
  const url = new URL(webhookUrl);
  return url.origin + url.pathname.replace(/\/twilio\/voice\/?$|\/[^/]*$/, '').replace(/^\/$/, '');
}
