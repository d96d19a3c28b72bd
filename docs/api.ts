/**
 * Writes `docs/api/*.md`, the reference of what the package exports, from the declarations in `dist` and their comments
 * (`npm run docs`), and names what a comment owes its reader. A test (test/shipped/api.test.ts) holds both.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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
  { page: 'api/simulator.md', from: 'trunkline/simulator', types: 'dist/simulator/index.d.ts' },
] as const;

const CHAPTERS: readonly (readonly [kind: ApiItemKind, title: string])[] = [
  [ApiItemKind.Function, 'Functions'],
  [ApiItemKind.Class, 'Classes'],
  [ApiItemKind.Interface, 'Interfaces'],
  [ApiItemKind.TypeAlias, 'Types'],
  [ApiItemKind.Variable, 'Constants'],
];

/** What a number may be in, by the end of its name or in its comment. */
const UNIT_NAME =
  /^(frames|marks|gaps|underruns|clears|messages|samples|streams|calls)|(ms|us|at|seconds|bytes|samples|frames|hz|percent|db|mb|port|status|rate|count|index|size|length|calls|legs|members|total|phones|tries|attempts)$/i;
const UNIT_TEXT =
  /\b(ms|milliseconds?|seconds?|minutes?|bytes?|kilobytes?|MiB|megabytes?|samples?|frames?|Hz|kHz|percent|%|dB|decibels?|microseconds?|µs|port|status|how (many|often)|number of|calls|times|ratio|share|from 0 to 1|−?1 to 1|messages|packets|code|events|marks|bits|factor)\b/i;

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
    return ApiPackage.loadFromJsonFile(json).entryPoints[0]?.members ?? [];
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
      return `\`${linkText ?? names?.join('.') ?? ''}\``;
    }
    case DocNodeKind.Paragraph:
      return node.getChildNodes().map(textOf).join('').trim();
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

function section(item: ApiItem): string {
  const lines = [`### ${item.displayName}`, ''];
  const summary = summaryOf(item);
  if (summary !== '') lines.push(summary, '');
  if (item instanceof ApiDeclaredItem) {
    const text = declarationOf(item);
    lines.push('```ts', text, '```', '');
  }
  const own = details(item, '');
  if (own.length > 0) lines.push(...own, '');
  for (const member of membersOf(item)) {
    if (!(member instanceof ApiDeclaredItem)) continue;
    const said = inline(summaryOf(member));
    lines.push(`- \`${declarationOf(member).replace(/^readonly /, '')}\`${said === '' ? '' : `: ${said}`}`);
    lines.push(...details(member, '  '));
  }
  return lines.join('\n').trimEnd();
}

/** The page of an entry point. */
function pageOf(from: string, items: readonly ApiItem[]): string {
  const parts = CHAPTERS.flatMap(([kind, title]) => {
    const own = items
      .filter((item) => item.kind === kind)
      .toSorted((a, b) => (a.displayName < b.displayName ? -1 : 1));
    return own.length === 0 ? [] : [`## ${title}`, ...own.map(section)];
  });
  const head = `# \`${from}\`

Written from the doc comments by \`npm run docs\`. Types that are named here and cannot be imported by name are listed too.`;
  return `${[head, ...parts].join('\n\n')}\n`;
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
    for (const member of membersOf(item)) look(member, name);
  };
  for (const item of items) if (ApiExportedMixin.isBaseClassOf(item) && item.isExported) look(item, '');
  return omissions;
}

/** Functions and methods of `src` in whose own body something is thrown, as `name` or `Class.name`. */
function throwersOf(files: readonly string[]): Set<string> {
  const { ts } = require('@ts-morph/common') as typeof import('@ts-morph/common');
  const throwers = new Set<string>();
  for (const file of files) {
    const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.ES2022, true);
    const throwsItself = (node: import('@ts-morph/common').ts.Node): boolean =>
      ts.isThrowStatement(node) ||
      (ts.forEachChild(node, (child) => !ts.isFunctionLike(child) && throwsItself(child)) ?? false);
    for (const statement of source.statements) {
      if (ts.isFunctionDeclaration(statement) && statement.body && statement.name) {
        if (throwsItself(statement.body)) throwers.add(statement.name.text);
      }
      if (!ts.isClassDeclaration(statement) || statement.name === undefined) continue;
      for (const member of statement.members) {
        if (!ts.isMethodDeclaration(member) || member.body === undefined) continue;
        if (throwsItself(member.body)) throwers.add(`${statement.name.text}.${member.name.getText(source)}`);
      }
    }
  }
  return throwers;
}

/** The reference's pages and what the comments leave out. @param files the sources in which errors are thrown */
export function apiReference(files: readonly string[]) {
  const throwers = throwersOf(files);
  return ENTRIES.map(({ page, from, types }) => {
    const items = itemsOf(types);
    const path = join(ROOT, 'docs', page);
    return { path, shouldBe: pageOf(from, items), omissions: omissionsOf(items, throwers) };
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const { path, shouldBe, omissions } of apiReference([])) {
    writeFileSync(path, shouldBe);
    for (const omission of omissions) console.log(omission);
  }
}
