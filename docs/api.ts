/**
 * Writes `docs/api/*.md`, the reference of what the package exports, from the declarations in `dist` and their comments
 * (`npm run docs`), and names what a comment owes its reader. A test (test/shipped/api.test.ts) holds both.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Extractor, ExtractorConfig } from '@microsoft/api-extractor';
import {
  ApiDeclaredItem,
  ApiDocumentedItem,
  ApiExportedMixin,
  type ApiItem,
  ApiItemContainerMixin,
  ApiItemKind,
  ApiPackage,
  ApiParameterListMixin,
  ExcerptTokenKind,
} from '@microsoft/api-extractor-model';
import {
  type DocCodeSpan,
  type DocComment,
  type DocEscapedText,
  type DocFencedCode,
  type DocLinkTag,
  type DocNode,
  DocNodeKind,
  type DocPlainText,
} from '@microsoft/tsdoc';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);

/** The package's entry points, and their pages. */
const ENTRIES = [
  { page: 'api/trunkline.md', from: 'trunkline', types: 'dist/index.d.ts' },
  { page: 'api/agent.md', from: 'trunkline/agent', types: 'dist/agents/index.d.ts' },
  { page: 'api/simulator.md', from: 'trunkline/simulator', types: 'dist/simulator/index.d.ts' },
] as const;

const CHAPTERS: readonly (readonly [kind: ApiItemKind, title: string])[] = [
  [ApiItemKind.Function, 'Functions'],
  [ApiItemKind.Class, 'Classes'],
  [ApiItemKind.Interface, 'Interfaces'],
  [ApiItemKind.TypeAlias, 'Types'],
  [ApiItemKind.Variable, 'Constants'],
];
const NAMED = 'Other types';
/** Stands around a `{@link}` until its page is known. */
const LINK = '\u0001';
const LINKS = new RegExp(`${LINK}([^${LINK}]+)${LINK}`, 'g');

/** What a number may be in, by the end of its name or in its comment; a `pid` or `seed` is a mere number. */
const UNIT_NAME =
  /^(frames|marks|gaps|underruns|clears|messages|samples|streams|calls)|(ms|us|at|seconds|bytes|samples|frames|hz|percent|db|mb|port|status|rate|count|index|size|length|calls|legs|members|total|phones|tries|attempts)$|^(pid|seed)$/i;
const UNIT_TEXT =
  /(?:\b|-)(ms|milliseconds?|seconds?|minutes?|bytes?|kilobytes?|MiB|megabytes?|samples?|frames?|Hz|kHz|percent|%|dB|decibels?|microseconds?|µs|port|status|how (many|often)|number of|calls|times|ratio|share|from 0 to 1|-?1 to 1|messages|packets|code|events|marks|bits|factor)\b/i;

/** Data explains itself, but for its unit. */
const MUST_BE_EXPLAINED: ReadonlySet<ApiItemKind> = new Set([
  ApiItemKind.Function,
  ApiItemKind.Class,
  ApiItemKind.Interface,
  ApiItemKind.TypeAlias,
  ApiItemKind.Variable,
  ApiItemKind.Method,
  ApiItemKind.MethodSignature,
]);

/**
 * What is importable, and the types that its declarations name. The extractor omits what is marked `@internal`, but keeps
 * the types that only such a declaration names.
 */
function withoutInternals(items: readonly ApiItem[]): ApiItem[] {
  const kept = new Set<ApiItem>();
  const keep = (item: ApiItem): void => {
    if (kept.has(item)) return;
    if (items.includes(item)) kept.add(item);
    if (item instanceof ApiDeclaredItem) {
      for (const { kind, text } of item.excerpt.spannedTokens) {
        if (kind !== ExcerptTokenKind.Reference) continue;
        for (const named of items) if (named.displayName === text) keep(named);
      }
    }
    for (const member of membersOf(item)) keep(member);
  };
  for (const item of items) if (isImportable(item)) keep(item);
  return [...kept];
}

function itemsOf(types: string): readonly ApiItem[] {
  const folder = mkdtempSync(join(tmpdir(), 'api-'));
  try {
    const json = join(folder, 'api.json');
    const compilerOptions = {
      target: 'ES2022',
      module: 'NodeNext',
      moduleResolution: 'NodeNext',
      lib: ['ES2023'],
      types: ['node'],
      strict: true,
      skipLibCheck: true,
    };
    const config = ExtractorConfig.prepare({
      configObject: {
        projectFolder: ROOT,
        mainEntryPointFilePath: join(ROOT, types),
        compiler: { overrideTsconfig: { compilerOptions, files: [join(ROOT, types)] } },
        apiReport: { enabled: false },
        docModel: { enabled: true, apiJsonFilePath: json, includeForgottenExports: true },
        dtsRollup: { enabled: false },
        tsdocMetadata: { enabled: false },
      },
      configObjectFullPath: join(ROOT, 'api-extractor.json'),
      packageJsonFullPath: join(ROOT, 'package.json'),
    });
    Extractor.invoke(config, {
      localBuild: true,
      messageCallback: (message) => {
        // Its questions are about release tags, links within and hyphens; ours are below.
        message.handled = true;
      },
    });
    return withoutInternals(ApiPackage.loadFromJsonFile(json).entryPoints[0]?.members ?? []);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function textOf(node: DocNode): string {
  switch (node.kind) {
    case DocNodeKind.PlainText:
      return (node as DocPlainText).text;
    case DocNodeKind.CodeSpan:
      return `\`${(node as DocCodeSpan).code}\``;
    case DocNodeKind.SoftBreak:
      return ' ';
    case DocNodeKind.EscapedText:
      return (node as DocEscapedText).decodedText;
    case DocNodeKind.FencedCode:
      return `\n\n\`\`\`${(node as DocFencedCode).language}\n${(node as DocFencedCode).code}\`\`\`\n\n`;
    case DocNodeKind.LinkTag: {
      const { linkText, urlDestination, codeDestination } = node as DocLinkTag;
      if (urlDestination !== undefined) return linkText ? `[${linkText}](${urlDestination})` : urlDestination;
      const names = codeDestination?.memberReferences.map((part) => part.memberIdentifier?.identifier ?? '');
      return `${LINK}${linkText ?? names?.join('.') ?? ''}${LINK}`;
    }
    case DocNodeKind.Paragraph:
      return paragraphOf(node.getChildNodes());
    case DocNodeKind.Section:
      return node
        .getChildNodes()
        .map(textOf)
        .filter((text) => text !== '')
        .join('\n\n');
    default:
      return node.getChildNodes().map(textOf).join('');
  }
}

/** Puts back the space of a line that ends before a code span or a link: the extractor drops it there. */
function paragraphOf(nodes: readonly DocNode[]): string {
  let text = '';
  for (const node of nodes) {
    const next = textOf(node);
    const isSpan = node.kind === DocNodeKind.CodeSpan || node.kind === DocNodeKind.LinkTag;
    text += isSpan && /[\p{L}\p{N},.;:)`]$/u.test(text) ? ` ${next}` : next;
  }
  return text.trim();
}

const inline = (text: string) => text.replace(/\s+/g, ' ').trim();
/** A declaration in one line, without `export declare`. */
const declarationOf = (item: ApiDeclaredItem) =>
  inline(item.excerpt.text.replace(/\/\*[\s\S]*?\*\//g, ''))
    .replace(/^export (declare )?/, '')
    .replace(/;$/, '');

function commentOf(item: ApiItem): DocComment | undefined {
  return item instanceof ApiDocumentedItem ? item.tsdocComment : undefined;
}

/** What is thrown, by `@throws`. */
function throwsOf(comment: DocComment | undefined): string[] {
  return (comment?.customBlocks ?? [])
    .filter(({ blockTag }) => blockTag.tagName.toLowerCase() === '@throws')
    .map(({ content }) => inline(textOf(content)));
}

function summaryOf(item: ApiItem): string {
  const comment = commentOf(item);
  return comment === undefined ? '' : textOf(comment.summarySection);
}

/** Parameters, answer and errors of a function, as a list's lines. */
function details(item: ApiItem, indent: string): string[] {
  const comment = commentOf(item);
  const lines = (comment?.params.blocks ?? []).map(
    ({ parameterName, content }) => `\`${parameterName}\`: ${inline(textOf(content))}`,
  );
  if (comment?.returnsBlock !== undefined)
    lines.push(`Returns ${inline(textOf(comment.returnsBlock.content))}`);
  lines.push(...throwsOf(comment).map((text) => `Throws ${text}`));
  return lines.map((line) => `${indent}- ${line}`);
}

function membersOf(item: ApiItem): readonly ApiItem[] {
  return ApiItemContainerMixin.isBaseClassOf(item) ? item.members : [];
}

/** Whether users can import it by name. */
const isImportable = (item: ApiItem) => ApiExportedMixin.isBaseClassOf(item) && item.isExported;

/** Anchors of a page's items by name, as GitHub makes them: the second of a name gets a number. */
function anchorsOf(items: readonly ApiItem[]): Map<string, string> {
  const anchors = new Map<string, string>();
  const times = new Map<string, number>();
  for (const { displayName } of items) {
    const slug = displayName.toLowerCase();
    const before = times.get(slug) ?? 0;
    times.set(slug, before + 1);
    if (!anchors.has(displayName)) anchors.set(displayName, before === 0 ? slug : `${slug}-${before}`);
  }
  return anchors;
}

const linkTo = (name: string, anchors: ReadonlyMap<string, string>) => `[${name}](#${anchors.get(name)})`;

/** The page's types in a declaration, as links. */
function typesIn(item: ApiDeclaredItem, anchors: ReadonlyMap<string, string>, owner: string): string {
  const names = item.excerpt.spannedTokens
    .filter(({ kind, text }) => kind === ExcerptTokenKind.Reference && text !== owner && anchors.has(text))
    .map(({ text }) => text);
  return [...new Set(names)].map((name) => linkTo(name, anchors)).join(', ');
}

function section(item: ApiItem, anchors: ReadonlyMap<string, string>): string {
  const { displayName } = item;
  const lines = [`### ${displayName}`, ''];
  const summary = summaryOf(item);
  if (summary !== '') lines.push(summary, '');
  const own = details(item, '');
  if (item instanceof ApiDeclaredItem) {
    lines.push('```ts', declarationOf(item), '```', '');
    const types = typesIn(item, anchors, displayName);
    if (types !== '') own.push(`- Types: ${types}`);
  }
  if (own.length > 0) lines.push(...own, '');
  for (const member of membersOf(item)) {
    if (!(member instanceof ApiDeclaredItem)) continue;
    const comment = member.kind === ApiItemKind.Constructor ? '' : inline(summaryOf(member));
    lines.push(
      `- \`${declarationOf(member).replace(/^readonly /, '')}\`${comment === '' ? '' : `: ${comment}`}`,
    );
    lines.push(...details(member, '  '));
    const types = typesIn(member, anchors, displayName);
    if (types !== '') lines.push(`  - Types: ${types}`);
  }
  return lines.join('\n').trimEnd();
}

const byName = (a: ApiItem, b: ApiItem) => (a.displayName < b.displayName ? -1 : 1);

/** The page of an entry point: contents, what can be imported by kind, then the types that only appear in it. */
function pageOf(from: string, items: readonly ApiItem[]): string {
  const exported = items.filter(isImportable);
  const chapters = CHAPTERS.map(
    ([kind, title]) => [title, exported.filter((item) => item.kind === kind).toSorted(byName)] as const,
  ).filter(([, own]) => own.length > 0);
  const named = items.filter((item) => !isImportable(item)).toSorted(byName);
  const anchors = anchorsOf([...chapters.flatMap(([, own]) => own), ...named]);
  const contents = [...chapters, [NAMED, named] as const].map(
    ([title, own]) => `- **${title}**: ${own.map((item) => linkTo(item.displayName, anchors)).join(', ')}`,
  );
  const parts = chapters.flatMap(([title, own]) => [
    `## ${title}`,
    ...own.map((item) => section(item, anchors)),
  ]);
  const head = `# \`${from}\`

Made from the doc comments by \`npm run docs\`. "Throws" of a function that returns a promise means that the promise rejects. The codes are explained in [Errors](../errors.md).`;
  const page = `${[
    head,
    contents.join('\n'),
    ...parts,
    `## ${NAMED}`,
    'These appear in the declarations above and cannot be imported by name.',
    ...named.map((item) => section(item, anchors)),
  ].join('\n\n')}\n`;
  return page.replace(LINKS, (_, name: string) => {
    const owner = name.split('.')[0] as string;
    return anchors.has(owner) ? `[\`${name}\`](#${anchors.get(owner)})` : `\`${name}\``;
  });
}

/** What the comments of an entry point leave out, one line each. */
function omissionsOf(items: readonly ApiItem[], throwers: ReadonlySet<string>): string[] {
  const omissions: string[] = [];
  const look = (item: ApiItem, owner: string) => {
    const name = owner === '' ? item.displayName : `${owner}.${item.displayName}`;
    const comment = commentOf(item);
    const summary = summaryOf(item);
    if (summary === '' && MUST_BE_EXPLAINED.has(item.kind)) omissions.push(`${name}: no comment`);
    const whole = comment === undefined ? '' : `${textOf(comment)} ${summary}`;
    if (item instanceof ApiDeclaredItem) {
      const isNumber = /\??: number( \| undefined| \| null)?$/.test(declarationOf(item));
      if (isNumber && !UNIT_NAME.test(item.displayName) && !UNIT_TEXT.test(whole))
        omissions.push(`${name}: no unit`);
      if (isNumber && /(Options|Request|Profile)$/.test(owner) && !/\d|default|never/i.test(whole))
        omissions.push(`${name}: no range and no default`);
    }
    if (ApiParameterListMixin.isBaseClassOf(item)) {
      for (const parameter of item.parameters) {
        if (!/^number( \| undefined)?$/.test(parameter.parameterTypeExcerpt.text)) continue;
        const block =
          parameter.tsdocParamBlock === undefined ? '' : textOf(parameter.tsdocParamBlock.content);
        if (!UNIT_NAME.test(parameter.name) && !UNIT_TEXT.test(`${block} ${summary}`))
          omissions.push(`${name}: no unit of ${parameter.name}`);
      }
    }
    if (throwers.has(name) && throwsOf(comment).length === 0) omissions.push(`${name}: no @throws`);
    for (const text of throwsOf(comment)) {
      if (text.includes('GatewayError') && !/GW_/.test(text) && !text.includes(LINK))
        omissions.push(`${name}: @throws without a code`);
    }
    for (const member of membersOf(item)) look(member, name);
  };
  for (const item of items) if (isImportable(item)) look(item, '');
  return omissions;
}

/**
 * Exported functions, constructors and methods of `src` that throw, themselves or by a function or method of their own file, as
 * `name` or `Class.name`.
 */
function throwersOf(): Set<string> {
  const { ts } = require('@ts-morph/common') as typeof import('@ts-morph/common');
  type Node = import('@ts-morph/common').ts.Node;
  const throwers = new Set<string>();
  for (const name of readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts')) continue;
    const file = join(ROOT, 'src', name);
    const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.ES2022, true);
    const bodies = new Map<string, Node>();
    const exported = new Set<string>();
    for (const statement of source.statements) {
      if (!ts.isFunctionDeclaration(statement) && !ts.isClassDeclaration(statement)) continue;
      const owner = statement.name?.text ?? '';
      if (statement.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)) exported.add(owner);
      if (ts.isFunctionDeclaration(statement) && statement.body) bodies.set(owner, statement.body);
      if (!ts.isClassDeclaration(statement)) continue;
      for (const member of statement.members) {
        const isConstructor = ts.isConstructorDeclaration(member);
        if (!isConstructor && !ts.isMethodDeclaration(member) && !ts.isGetAccessor(member)) continue;
        if (member.body)
          bodies.set(
            `${owner}.${isConstructor ? '(constructor)' : member.name.getText(source)}`,
            member.body,
          );
      }
    }
    const found = new Set<string>();
    const throws = (node: Node, owner: string): boolean => {
      if (ts.isThrowStatement(node)) return true;
      // What it catches is its own affair; what it throws in `catch` is not.
      const parts =
        ts.isTryStatement(node) && node.catchClause ? [node.catchClause, node.finallyBlock] : undefined;
      if (parts !== undefined) return parts.some((part) => part !== undefined && throws(part, owner));
      if (ts.isCallExpression(node)) {
        const called = node.expression.getText(source).replace(/^this\./, `${owner}.`);
        if (found.has(called)) return true;
      }
      return ts.forEachChild(node, (child) => !ts.isFunctionLike(child) && throws(child, owner)) ?? false;
    };
    for (let size = -1; size < found.size; ) {
      size = found.size;
      for (const [name, body] of bodies) if (throws(body, name.split('.')[0] as string)) found.add(name);
    }
    for (const name of found) if (exported.has(name.split('.')[0] as string)) throwers.add(name);
  }
  return throwers;
}

/** The pages of the reference, and what the comments leave out. */
export function apiReference() {
  const throwers = throwersOf();
  return ENTRIES.map(({ page, from, types }) => {
    const items = itemsOf(types);
    const path = join(ROOT, 'docs', page);
    return { path, shouldBe: pageOf(from, items), omissions: omissionsOf(items, throwers) };
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const { path, shouldBe, omissions } of apiReference()) {
    writeFileSync(path, shouldBe);
    for (const omission of omissions) console.log(omission);
  }
}
