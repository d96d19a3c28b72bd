/** A shell command, without the assignments before it. */
export interface ShellCommand {
  /** The program and its arguments, unquoted. */
  readonly words: readonly string[];
  /** Variables assigned before the program, or by `export`. */
  readonly assigned: Readonly<Record<string, string>>;
}

const TOKEN =
  /\s+|#.*|&&|\|\||[|;&]|\d?[<>]+&?\d*|(?:\$\([^)]*\)|"(?:\\.|[^"])*"|'[^']*'|\\.|[^\s|;&<>"'])+/gy;
const ASSIGNMENT = /^([A-Za-z_]\w*)=(.*)$/s;

/**
 * The commands of a block in a page: enough of a shell's grammar for what pages show.
 * @param variables what stands for `$NAME`; assignments of the block are added
 */
export function shellCommands(code: string, variables: Record<string, string> = {}): ShellCommand[] {
  const commands: ShellCommand[] = [];
  for (const line of code.replaceAll(/\\\n\s*/g, ' ').split('\n')) {
    let words: string[] = [];
    const finish = () => {
      const isExport = words[0] === 'export';
      const rest = isExport ? words.slice(1) : words;
      const first = rest.findIndex((word) => !ASSIGNMENT.test(word));
      const split = first < 0 ? rest.length : first;
      const assigned = Object.fromEntries(
        rest.slice(0, split).map((word) => (ASSIGNMENT.exec(word) as unknown as string[]).slice(1, 3)),
      );
      if (isExport || split === rest.length) Object.assign(variables, assigned);
      if (words.length > 0) commands.push({ words: isExport ? ['export'] : rest.slice(split), assigned });
      words = [];
    };
    let isTarget = false;
    for (const [token] of line.matchAll(TOKEN)) {
      if (/^\s/.test(token) || token.startsWith('#')) continue;
      if (/^(&&|\|\||[|;&])$/.test(token)) finish();
      else if (/^\d?[<>]/.test(token)) isTarget = !/&\d$/.test(token);
      else if (isTarget) isTarget = false;
      else words.push(unquoted(token, variables));
    }
    finish();
  }
  return commands;
}

function unquoted(token: string, variables: Readonly<Record<string, string>>): string {
  return token.replaceAll(/'([^']*)'|\\(.)|["]|\$\{?(\w+)\}?/g, (all, plain, escaped, name) =>
    name === undefined ? (plain ?? escaped ?? '') : (variables[name] ?? all),
  );
}
