import { destination, type LevelWithSilent, type Logger, pino } from 'pino';

export type { Logger } from 'pino';

/** Lines that cannot be written are queued up to this size, then dropped. */
const MAX_UNWRITTEN_BYTES = 1024 * 1024;

/**
 * The gateway's own log: JSON lines. Tokens, payloads and signatures are never passed in.
 * @param stream where it goes: straight to its descriptor if it has one
 */
export function createLog(
  level: LevelWithSilent = 'info',
  stream: NodeJS.WritableStream & { readonly fd?: number } = process.stdout,
): Logger {
  const { fd } = stream;
  const options = { name: 'trunkline', level, base: null };
  if (fd === undefined) return pino(options, stream);
  const file = destination({ dest: fd, sync: true, maxLength: MAX_UNWRITTEN_BYTES });
  // With a full disk or a closed terminal, calls continue without a log.
  file.on('error', () => {});
  return pino(options, file);
}

/** A phone number as the log may show it: all but the last two digits masked. */
export function maskNumber(number: string | undefined): string | undefined {
  return number?.replace(/\d(?=(?:\D*\d){2})/g, '•');
}

/** A text as the log may show it: each phone number in it (`+` and digits) masked. */
export function maskNumbersIn(text: string): string {
  return text.replace(/\+\d+/g, (number) => maskNumber(number) as string);
}
