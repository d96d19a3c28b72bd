import { fileURLToPath } from 'node:url';

const PACKAGE = fileURLToPath(new URL('../../../', import.meta.url));
const MOST_CHARACTERS = 200;

/** A reason as `/health` may show it to anybody: its first line, not too long, without telling where the package lies. */
export function publicReason(reason: string): string {
  const [line = ''] = reason.split('\n', 1);
  return line.replaceAll(PACKAGE, '').slice(0, MOST_CHARACTERS);
}
