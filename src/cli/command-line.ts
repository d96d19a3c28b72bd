import { Command, CommanderError } from 'commander';
import { GatewayError } from '../errors.js';
import { VERSION } from '../version.js';
import { Shell, type ShellOptions } from './shell.js';

interface CommandEntry {
  readonly description: string;
  readonly load: () => Promise<(shell: Shell) => Command>;
}

/** Every command. Only the one that is asked for is loaded, and what it needs only when it runs: help is quick. */
const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  serve: {
    description: 'run the gateway, configured by environment variables or a file',
    load: async () => (await import('./serve.js')).serveCommand,
  },
  demo: {
    description: 'place simulated calls into a real gateway and prove that the audio comes back',
    load: async () => (await import('./demo.js')).demoCommand,
  },
  simulate: {
    description: 'place signed calls as Twilio would, against any server that speaks Media Streams',
    load: async () => (await import('./simulate.js')).simulateCommand,
  },
  call: {
    description: 'place a call; runs a gateway for it, or asks a running one',
    load: async () => (await import('./call.js')).callCommand,
  },
  doctor: {
    description:
      'find what is wrong with URL, proxy, TLS, signatures, clock, core, keys and Redis, and how to fix it',
    load: async () => (await import('./doctor.js')).doctorCommand,
  },
  conformance: {
    description: 'call an agent as a gateway does, and find what it does wrong and how to fix it',
    load: async () => (await import('./conformance.js')).conformanceCommand,
  },
};

/**
 * Runs the command line.
 * @param args without the names of Node and of the program
 * @returns the exit code
 */
export async function runCommandLine(args: readonly string[], options?: ShellOptions): Promise<number> {
  const shell = new Shell(options);
  try {
    const program = await programFor(shell, args);
    await program.parseAsync(args, { from: 'user' });
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

/** All commands; those named in `args` with their flags and what they do. */
export async function programFor(shell: Shell, args: readonly string[]): Promise<Command> {
  const program = new Command('trunkline')
    .description('Phone-audio gateway: Twilio calls in and out, their audio as 48 kHz PCM.')
    .version(VERSION, '-V, --version', 'output the version, the core that audio runs on, and what serves')
    .showHelpAfterError('(see --help)')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => shell.stdout.write(text),
      writeErr: (text) => shell.stderr.write(text),
    });
  for (const [name, { description, load }] of Object.entries(COMMANDS)) {
    const command = args.includes(name) ? (await load())(shell) : new Command(name);
    program.addCommand(command.description(description).copyInheritedSettings(program));
  }
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
