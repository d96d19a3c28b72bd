import { lexer, type Token, type Tokens } from 'marked';
import type { Page } from './knowledge-folder.js';

/** Paragraphs are joined up to this many characters … */
const USUAL_CHARACTERS = 700;
/** … and longer ones are split between sentences. */
const MAX_CHARACTERS = 1_200;
const FRONT_MATTER = /^---\r?\n[\s\S]*?\n---\r?\n/;
const TAGS = /<!--[\s\S]*?-->|<[^>]*>/g;

/** A piece of a page, short enough to be spoken from: paragraphs below one heading. */
export interface Section {
  /** Path of the file within the folder, e.g. `shop/opening-hours.md`. */
  readonly file: string;
  /** The page's first heading, or else its {@link sourceOf}. */
  readonly title: string;
  /** The headings below the title that the text stands under, e.g. `Prices > Tyres`; empty right below the title. */
  readonly heading: string;
  /** Plain text without Markdown's marks, one paragraph, list item or table row a line. */
  readonly text: string;
}

/** What to call a page in speech, by its file: `shop/02-opening-hours.md` is `opening hours`, `rental/README.md` is `rental`. */
export function sourceOf(file: string): string {
  const names = file.replace(/\.\w+$/, '').split('/');
  if (names.length > 1 && /^(readme|index)$/i.test(names.at(-1) as string)) names.pop();
  const name = (names.at(-1) as string).replace(/[-_\s]+/g, ' ').trim();
  return name.replace(/^\d+\W+(?=\w)/, '') || name;
}

/** Splits a page into sections. */
export function sectionsOf({ file, text }: Page): Section[] {
  const sections: Section[] = [];
  const path: string[] = [];
  let title: string | undefined;
  let lines: string[] = [];
  let characters = 0;
  const finish = () => {
    const heading = path.filter(Boolean).join(' > ');
    if (lines.length > 0) {
      sections.push({ file, title: title ?? sourceOf(file), heading, text: lines.join('\n') });
    }
    [lines, characters] = [[], 0];
  };
  for (const token of lexer(text.replace(FRONT_MATTER, ''))) {
    if (token.type === 'heading') {
      finish();
      const { depth } = token as Tokens.Heading;
      const heading = spoken(token);
      if (title === undefined && sections.length === 0) title = heading;
      else path[depth - 1] = heading;
      path.length = Math.min(path.length, depth);
      continue;
    }
    for (const line of linesOf(token).flatMap(shortened)) {
      if (characters > 0 && characters + line.length > USUAL_CHARACTERS) finish();
      lines.push(line);
      characters += line.length;
    }
  }
  finish();
  return sections;
}

/** A block as lines of plain text. */
function linesOf(token: Token): string[] {
  switch (token.type) {
    case 'space':
    case 'hr':
    case 'def':
      return [];
    case 'list':
      return (token as Tokens.List).items.map((item) => item.tokens.flatMap(linesOf).join(' '));
    case 'blockquote':
      return (token as Tokens.Blockquote).tokens.flatMap(linesOf);
    case 'table': {
      const { header, rows } = token as Tokens.Table;
      const names = header.map((cell) => spoken(cell));
      return rows.map((row) =>
        row.map((cell, i) => [names[i], spoken(cell)].filter(Boolean).join(': ')).join('; '),
      );
    }
    default: {
      const line = spoken(token);
      return line === '' ? [] : [line];
    }
  }
}

/** The text of a token without marks and line breaks: of a link its words, of an image its description. */
function spoken(token: object): string {
  return raw(token).replace(/\s+/g, ' ').trim();
}

function raw(token: object): string {
  const { type, text = '', tokens } = token as { type?: string; text?: string; tokens?: Token[] };
  if (tokens !== undefined && tokens.length > 0) return tokens.map(raw).join('');
  if (type === 'br') return ' ';
  return type === 'html' ? text.replace(TAGS, ' ') : text;
}

const sentences = new Intl.Segmenter('en', { granularity: 'sentence' });

function shortened(line: string): string[] {
  if (line.length <= MAX_CHARACTERS) return [line];
  const parts: string[] = [];
  for (const { segment } of sentences.segment(line)) {
    for (let at = 0; at < segment.length; at += MAX_CHARACTERS)
      parts.push(segment.slice(at, at + MAX_CHARACTERS).trim());
  }
  return parts.filter(Boolean);
}
