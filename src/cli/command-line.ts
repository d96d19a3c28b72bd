import { Command, CommanderError } from 'commander';
import { GatewayError } from '../errors.js';
import { VERSION } from '../version.js';
import { callCommand } from './call.js';
import { demoCommand } from './demo.js';
import { doctorCommand } from './doctor.js';
import { serveCommand } from './serve.js';
import { Shell, type ShellOptions } from './shell.js';
import { simulateCommand } from './simulate.js';

/** What a command needs is loaded by its action: help must be quick, and needs no core. */
const COMMANDS = [serveCommand, demoCommand, simulateCommand, callCommand, doctorCommand];

/**
 * Runs the command line.
 * @param args without the names of Node and of the program
 * @returns the exit code
 */
export async function runCommandLine(args: readonly string[], options?: ShellOptions): Promise<number> {
  const shell = new Shell(options);
  try {
    await programFor(shell).parseAsync(args, { from: 'user' });
    return shell.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) {
      return error.code === 'commander.version' ? tellParts(shell) : error.exitCode;
    }
    // A GatewayError says what was expected, the system's own errors what failed; else it is a fault of ours.
    const isPlain =
      error instanceof GatewayError || /^E[A-Z]+$/.test(String((error as { code?: unknown }).code));
    shell.console.error(isPlain ? (error as Error).message : error);
    return 1;
  }
}

/** All commands, without their work done: for tests of what pages say. */
export function programFor(shell: Shell): Command {
  const program = new Command('trunkline')
    .description('Phone-audio gateway: Twilio calls in and out, their audio as 48 kHz PCM.')
    .version(VERSION, '-V, --version', 'output the version, the core that audio runs on, and what serves')
    .showHelpAfterError('(see --help)')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => shell.stdout.write(text),
      writeErr: (text) => shell.stderr.write(text),
    });
  for (const commandFor of COMMANDS) program.addCommand(commandFor(shell).copyInheritedSettings(program));
  return program;
}

/** Prints what a gateway would run on here. @returns the exit code: 1 where a part of it does not load */
async function tellParts({ console, env }: Shell): Promise<number> {
  let code = 0;
  for (const line of [coreLine, serverLine]) {
    try {
      console.log(await line(env));
    } catch (error) {
      code = 1;
      console.log((error as Error).message);
    }
  }
  return code;
}

/** Which core audio runs on; loaded only where somebody asks. */
async function coreLine(): Promise<string> {
  const { core } = await import('../media/thread-core.js');
  return `${core.backend} core, ${core.kernels}: ${core.origin}`;
}

/** What would serve; loaded only where somebody asks. */
async function serverLine(env: NodeJS.ProcessEnv): Promise<string> {
  const { chooseTransport } = await import('../http/transport/choice.js');
  const { SERVERS } = await import('../http/transport/transport.js');
  const { name, origin } = chooseTransport(SERVERS.find((server) => server === env.SERVER));
  return `${name} server: ${origin}`;
}
