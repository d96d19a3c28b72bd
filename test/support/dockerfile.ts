import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DockerfileParser, type Instruction } from 'dockerfile-ast';

/** The checkout, with a slash at its end. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** One stage, or all, of a Dockerfile. */
export class Instructions {
  constructor(private readonly list: readonly Instruction[]) {}

  /** What stands behind each of these keywords. */
  of(keyword: string): string[] {
    return this.list
      .filter((instruction) => instruction.getKeyword() === keyword)
      .map((instruction) => instruction.getArgumentsContent() ?? '');
  }

  /** Whole instructions, with their flags. */
  texts(keyword: string): string[] {
    return this.list
      .filter((instruction) => instruction.getKeyword() === keyword)
      .map((instruction) => instruction.getTextContent());
  }

  /** Sources and target of each COPY. */
  get copies(): { readonly from: readonly string[]; readonly to: string }[] {
    return this.of('COPY').map((text) => {
      const words = text.split(/\s+/);
      return { from: words.slice(0, -1), to: words.at(-1) ?? '' };
    });
  }

  get env(): Record<string, string> {
    return Object.fromEntries(
      this.of('ENV').flatMap((text) => text.split(/\s+/).map((pair) => pair.split('=') as [string, string])),
    );
  }

  /** Program and arguments of an ENTRYPOINT or a HEALTHCHECK, which name them as JSON. */
  command(keyword: 'ENTRYPOINT' | 'HEALTHCHECK'): [string, ...string[]] {
    return JSON.parse((this.of(keyword)[0] ?? '').replace(/^CMD /, ''));
  }
}

export interface Dockerfile {
  readonly text: string;
  readonly all: Instructions;
  /** Everything before the last stage. */
  readonly build: Instructions;
  /** The last stage: what becomes the image. */
  readonly final: Instructions;
}

/** @param file its path within the checkout */
export function readDockerfile(file: string): Dockerfile {
  const text = readFileSync(ROOT + file, 'utf8');
  const list = DockerfileParser.parse(text).getInstructions();
  const lastFrom = list.findLastIndex((instruction) => instruction.getKeyword() === 'FROM');
  return {
    text,
    all: new Instructions(list),
    build: new Instructions(list.slice(0, lastFrom)),
    final: new Instructions(list.slice(lastFrom)),
  };
}
