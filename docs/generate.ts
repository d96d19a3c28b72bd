/**
 * `npm run docs`: writes what pages and a few other files say of tables in the source between marks: in a page
 * `<!-- generated: NAME -->` and `<!-- end -->`. A test (test/package/generated.test.ts) fails where a file is behind its table.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { AGENT_CHECKS } from '../src/conformance/conformance.js';
import { OPERATIONS } from '../src/control/operations.js';
import { ERROR_CHAPTERS } from '../src/error-catalogue.js';
import { CallFacts, LEG_VERSION, LegCommand, LegEvent } from '../src/legs/leg-messages.js';
import type { Setting } from '../src/setting.js';
import { RELOADABLE, SETTING_GROUPS, SETTINGS, shownDefault } from '../src/settings.js';

interface Row {
  readonly status?: number;
  readonly meaning: string;
}

function errors(): string {
  return Object.entries(ERROR_CHAPTERS)
    .map(([title, chapter]) => {
      const rows = Object.entries<Row>(chapter).map(
        ([code, { status, meaning }]) => `| \`${code}\` | ${status ?? '–'} | ${meaning} |`,
      );
      return [`## ${title}`, '', '| code | status | meaning |', '|---|---|---|', ...rows].join('\n');
    })
    .join('\n\n');
}

function settings(): string {
  return Object.entries(SETTING_GROUPS)
    .map(([title, group]) => {
      const rows = Object.entries(group).map(([name, setting]) =>
        [
          '',
          `\`${name}\``,
          optionOf(setting),
          setting.format.wanted,
          shownDefault(setting),
          setting.meaning,
          '',
        ]
          .join(' | ')
          .trim(),
      );
      const head = '| variable | option in code | value | default | meaning |';
      return [`## ${title}`, '', head, '|---|---|---|---|---|', ...rows].join('\n');
    })
    .join('\n\n');
}

function optionOf({ option }: Setting): string {
  return option === undefined
    ? ''
    : [option]
        .flat()
        .map((path) => `\`${path}\``)
        .join(', ');
}

function reloadable(): string {
  return [...RELOADABLE].map((name) => `\`${name}\``).join(', ');
}

/** Groups of options whose room names them all. */
const OPTIONS_OF: Readonly<Record<string, string>> = {
  router: 'RouterOptions',
  eventWebhooks: 'EventWebhookOptions',
  stream: 'StreamBridgeOptions',
};

/** The type `Config`: what the settings come to. */
function config(): string {
  const lines = new Map<string, string>();
  const groups = new Map<string, string[]>();
  for (const [name, setting] of SETTINGS) {
    for (const path of [setting.option ?? []].flat()) {
      const [group, member] = path.split('.') as [string, string?];
      const isSure = setting.default !== undefined || opens(setting, group);
      const line = (indent: string) =>
        `${comment(name, setting, indent)}\n${indent}readonly ${member ?? group}${isSure ? '' : '?'}: ${setting.format.type};`;
      if (member === undefined) lines.set(group, lines.get(group) ?? line('  '));
      else groups.set(group, [...(groups.get(group) ?? []), line('    ')]);
    }
  }
  for (const [group, members] of groups) {
    const opening = [...SETTINGS].filter(
      ([, setting]) =>
        opens(setting, group) && [setting.option].flat().some((path) => path?.startsWith(`${group}.`)),
    );
    const names = opening.map(([name]) => `\`${name}\``).join(' and ');
    const head =
      names === '' ? `  readonly ${group}: ` : `  /** Absent without ${names}. */\n  readonly ${group}?: `;
    const type = OPTIONS_OF[group] ?? ['{', ...members, '  }'].join('\n');
    lines.set(group, `${head}${type};`);
  }
  return [
    '/** What the environment says, checked: options of a gateway, and how long it drains. */',
    'export interface Config {',
    ...lines.values(),
    '}',
  ].join('\n');
}

function opens({ opensGroup }: Setting, group: string): boolean {
  return opensGroup === true || opensGroup?.includes(group) === true;
}

/** A doc comment of at most 110 columns. */
function comment(name: string, { format, meaning, default: usual, unset }: Setting, indent: string): string {
  const range = format.type === 'number' ? ` ${format.wantedOption}.` : '';
  const otherwise = usual === undefined || Array.isArray(usual) ? unset : `\`${usual}\``;
  const text = `${meaning}${range}${otherwise ? ` Default: ${otherwise}.` : ''} In the environment: \`${name}\`.`;
  if (indent.length + text.length + 7 <= WIDTH) return `${indent}/** ${text} */`;
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = `${lines.at(-1)} ${word}`.trim();
    if (indent.length + 3 + line.length > WIDTH) lines.push(word);
    else lines[lines.length - 1] = line;
  }
  return [`${indent}/**`, ...lines.map((line) => `${indent} * ${line}`), `${indent} */`].join('\n');
}

const WIDTH = 110;

/** Names in the chart's `settings`: secrets stand in a Secret. */
function chartSettings(): string {
  return [...SETTINGS]
    .filter(([, { isSecret, isFixedInChart }]) => !isSecret && !isFixedInChart)
    .map(([name]) => `          "${name}"`)
    .join(',\n');
}

function operations(): string {
  const rows = Object.entries(OPERATIONS).map(([name, operation]) => {
    const { method, path, request, wavQuery, status, answer, summary } = operation;
    const body = method === 'post' ? fieldsOf(request) : '–';
    const cells = [
      `\`${method.toUpperCase()} /${path}\``,
      `\`${name}\``,
      wavQuery === undefined ? body : `a WAV file, or ${body}`,
      `${status} ${fieldsOf(answer)}`,
      summary,
    ];
    return `| ${cells.join(' | ')} |`;
  });
  const head = '| route under `/v1/calls/{callId}` | `gateway.control.` | body | answer | effect |';
  return [head, '|---|---|---|---|---|', ...rows].join('\n');
}

/** The fields of an object, `{name, optional?}`. */
function fieldsOf(schema: z.ZodType): string {
  const { shape } = schema as z.ZodObject;
  const names = Object.entries(shape)
    .filter(([, field]) => !isBeyondJson(field))
    .map(([name, field]) => (field.safeParse(undefined).success ? `${name}?` : name));
  return names.length === 0 ? '–' : `\`{${names.join(', ')}}\``;
}

/** Bytes, and fields that must be absent. */
function isBeyondJson(field: z.core.$ZodType): boolean {
  const { not, ...rest } = z.toJSONSchema(field, { io: 'input', unrepresentable: 'any' });
  return not !== undefined || Object.keys(rest).every((key) => key === '$schema');
}

function agentChecks(): string {
  const rows = AGENT_CHECKS.map(({ name, wants }) => `| \`${name}\` | ${wants} |`);
  return ['| check | the agent |', '|---|---|', ...rows].join('\n');
}

/** JSON Schema of the text messages of raw legs, both directions. */
export function rawLegSchema(): object {
  const named = z.registry<{ id: string }>();
  named.add(LegCommand, { id: 'Command' }).add(LegEvent, { id: 'Event' }).add(CallFacts, { id: 'CallFacts' });
  for (const option of LegCommand.options) named.add(option, { id: nameOf(option, 'Command') });
  for (const option of LegEvent.options) named.add(option, { id: nameOf(option, 'Event') });
  const { schemas } = z.toJSONSchema(named, { io: 'input', uri: (id) => `#/$defs/${id}` });
  const definitions = Object.entries(schemas).map(([id, { $schema: _, $id: __, ...rest }]) => [id, rest]);
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: `Trunkline raw leg, version ${LEG_VERSION}`,
    description:
      'A text message of a raw leg: a command, which a program sends, or an event, which it receives. Fields may be added within a version.',
    anyOf: [{ $ref: '#/$defs/Command' }, { $ref: '#/$defs/Event' }],
    $defs: Object.fromEntries(definitions),
  };
}

/** `MarkCommand`: the type of a message, and its direction. */
function nameOf(
  { shape }: { readonly shape: { readonly type: z.ZodLiteral<string> } },
  kind: string,
): string {
  const { value } = shape.type;
  return `${value.charAt(0).toUpperCase()}${value.slice(1)}${kind}`;
}

interface Part {
  /** From this folder. */
  readonly page: string;
  readonly make: () => string;
  /** What stands before it, and what after it. */
  readonly marks: readonly [begin: string, end: string];
}

const inMarkdown = (name: string) => [`<!-- generated: ${name} -->\n\n`, '\n\n<!-- end -->'] as const;

/** Every generated part: its page, and what makes it. */
const PARTS: readonly Part[] = [
  { page: 'errors.md', marks: inMarkdown('errors'), make: errors },
  { page: 'call-control.md', marks: inMarkdown('operations'), make: operations },
  { page: 'configuration.md', marks: inMarkdown('settings'), make: settings },
  { page: 'conformance.md', marks: inMarkdown('agent checks'), make: agentChecks },
  { page: 'operations.md', marks: inMarkdown('reloadable settings'), make: reloadable },
  { page: '../src/config.ts', marks: ['// generated: config\n', '\n// end'], make: config },
  {
    page: '../deploy/helm/trunkline/values.schema.json',
    marks: ['"propertyNames": {\n        "enum": [\n', '\n        ]'],
    make: chartSettings,
  },
];

/** Files that are generated as a whole. */
const FILES: Readonly<Record<string, () => string>> = {
  'raw-leg.schema.json': () => `${JSON.stringify(rawLegSchema(), null, 2)}\n`,
};

interface GeneratedPage {
  readonly path: string;
  readonly is: string;
  readonly shouldBe: string;
}

/** The generated files, and the pages with generated parts, as they are and as they should be. */
export function generatedPages(): GeneratedPage[] {
  const files = Object.entries(FILES).map(([name, make]) => {
    const path = fileURLToPath(new URL(name, import.meta.url));
    return { path, is: existsSync(path) ? readFileSync(path, 'utf8') : '', shouldBe: make() };
  });
  return [...files, ...pagesWithParts()];
}

function pagesWithParts(): GeneratedPage[] {
  return [...new Set(PARTS.map(({ page }) => page))].map((page) => {
    const path = fileURLToPath(new URL(page, import.meta.url));
    const is = readFileSync(path, 'utf8');
    let shouldBe = is;
    for (const {
      make,
      marks: [begin, end],
    } of PARTS.filter((part) => part.page === page)) {
      const from = shouldBe.indexOf(begin) + begin.length;
      const to = shouldBe.indexOf(end, from);
      if (from < begin.length || to < 0) throw new Error(`${page} has no place for "${begin.trim()}"`);
      shouldBe = `${shouldBe.slice(0, from)}${make()}${shouldBe.slice(to)}`;
    }
    return { path, is, shouldBe };
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const { path, is, shouldBe } of generatedPages()) if (is !== shouldBe) writeFileSync(path, shouldBe);
}
