#!/usr/bin/env node
import { Command } from 'commander';
import { GatewayError } from '../errors.js';
import { VERSION } from '../version.js';
import { callCommand } from './call.js';
import { demoCommand } from './demo.js';
import { serveCommand } from './serve.js';
import { simulateCommand } from './simulate.js';

const program = new Command('trunkline')
  .description('Phone-audio gateway: Twilio calls in and out, their audio as 48 kHz PCM.')
  .version(VERSION)
  .showHelpAfterError('(see --help)')
  .addCommand(serveCommand())
  .addCommand(demoCommand())
  .addCommand(simulateCommand())
  .addCommand(callCommand());

try {
  await program.parseAsync();
} catch (error) {
  // A GatewayError says what was expected, the system's own errors what failed; else it is a fault of ours.
  const isPlain =
    error instanceof GatewayError || /^E[A-Z]+$/.test(String((error as { code?: unknown }).code));
  console.error(isPlain ? (error as Error).message : error);
  process.exitCode = 1;
}
