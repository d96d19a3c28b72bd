#!/usr/bin/env node
import { Command } from 'commander';
import { GatewayError } from '../errors.js';
import { VERSION } from '../version.js';
import { callCommand } from './call.js';
import { demoCommand } from './demo.js';
import { doctorCommand } from './doctor.js';
import { serveCommand } from './serve.js';
import { simulateCommand } from './simulate.js';

/** The core is loaded only where somebody asks for it: help must not need one. */
async function versionText(): Promise<string> {
  if (!['-V', '--version'].includes(process.argv[2] ?? '')) return VERSION;
  try {
    const { core } = await import('../media/thread-core.js');
    return `${VERSION}\n${core.backend} core, ${core.kernels}: ${core.origin}`;
  } catch (error) {
    return `${VERSION}\n${(error as Error).message}`;
  }
}

const program = new Command('trunkline')
  .description('Phone-audio gateway: Twilio calls in and out, their audio as 48 kHz PCM.')
  .version(await versionText(), '-V, --version', 'output the version, and the core that audio runs on')
  .showHelpAfterError('(see --help)')
  .addCommand(serveCommand())
  .addCommand(demoCommand())
  .addCommand(simulateCommand())
  .addCommand(callCommand())
  .addCommand(doctorCommand());

try {
  await program.parseAsync();
} catch (error) {
  // A GatewayError says what was expected, the system's own errors what failed; else it is a fault of ours.
  const isPlain =
    error instanceof GatewayError || /^E[A-Z]+$/.test(String((error as { code?: unknown }).code));
  console.error(isPlain ? (error as Error).message : error);
  process.exitCode = 1;
}
