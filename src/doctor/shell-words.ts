const PART = /\$'((?:\\.|[^'\\])*)'|'([^']*)'|"((?:\\.|[^"\\])*)"|\\\r?\n|\\(.)|(\s+)|([^\s'"\\]+|\$|.)/gs;
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' };

/** Splits a command into words like a POSIX shell (or bash, with `$'…'`), without expansion. */
export function shellWords(command: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  for (const [, ansi, single, double, escaped, space, bare] of command.matchAll(PART)) {
    if (space !== undefined) {
      if (word !== undefined) words.push(word);
      word = undefined;
      continue;
    }
    const text =
      ansi?.replace(/\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))/gs, unescaped) ??
      single ??
      double?.replace(/\\(["\\$`])/g, '$1') ??
      escaped ??
      bare;
    if (text !== undefined) word = (word ?? '') + text;
  }
  if (word !== undefined) words.push(word);
  return words;
}

function unescaped(_: string, hex: string | undefined, unicode: string | undefined, letter = ''): string {
  const code = hex ?? unicode;
  return code === undefined ? (ESCAPES[letter] ?? letter) : String.fromCharCode(Number.parseInt(code, 16));
}
