/** How the values of a setting are written in the environment, and which of them are allowed. */
export interface Format<T> {
  /** What follows "Expected" in messages: `1 to 50`. */
  readonly wanted: string;
  /** The same for an option in code, if its type is not text. */
  readonly wantedOption: string;
  /** The TypeScript type of an option. */
  readonly type: string;
  /** @returns `undefined` for text that cannot be a value; other values may still be out of range */
  parse(text: string): T | undefined;
  /** How a value is written in the environment. */
  print(value: T): string;
  accepts(value: unknown): boolean;
}

/** Everything known about one setting. */
export interface Setting<T = unknown> {
  readonly format: Format<T>;
  /** What it does, in one sentence of plain text with names in backquotes. */
  readonly meaning: string;
  /** Path of the option that it sets in `Config` and `GatewayOptions`; of two settings of one option the first wins. */
  readonly option?: string | readonly string[];
  /** The value of the option if it is not set. */
  readonly default?: T;
  /** What applies instead if there is no such value. */
  readonly unset?: string;
  /** The option's group exists only if this setting is set; of several options, those groups. */
  readonly opensGroup?: true | readonly string[];
  /** Its value is never printed, because it is a secret or easily confused with one. */
  readonly isSecret?: true;
  /** A running gateway applies a new value on SIGHUP. */
  readonly isReloadable?: true;
  /** Set by the Helm chart, or of no use in a pod. */
  readonly isFixedInChart?: true;
}

/** A setting whose default fits its format. */
export function setting<T>(format: Format<T>, rest: Omit<Setting<T>, 'format'>): Setting {
  return { format, ...rest } as Setting<T> as Setting;
}

/** Any text that is not empty, or one that matches a test. */
export function text(
  wanted: string,
  isAllowed: (text: string) => boolean = (text) => text !== '',
): Format<string> {
  return {
    wanted,
    wantedOption: wanted,
    type: 'string',
    parse: (text) => text,
    print: (value) => value,
    accepts: (value) => typeof value === 'string' && isAllowed(value),
  };
}

/**
 * A whole number; an option in code with a unit may have a fraction.
 * @param limit `isLimit`: in code, `Infinity` stands for no limit
 */
export function number(
  min: number,
  max: number,
  unit?: string,
  { isLimit = false }: { readonly isLimit?: boolean } = {},
): Format<number> {
  const wanted = `${min} to ${max}${unit === undefined ? '' : ` ${unit}`}`;
  return {
    wanted,
    wantedOption: wanted,
    type: 'number',
    parse: (text) => (/^\d+$/.test(text) ? Number(text) : undefined),
    print: String,
    accepts: (value) =>
      (isLimit && value === Number.POSITIVE_INFINITY) ||
      (typeof value === 'number' &&
        value >= min &&
        value <= max &&
        (unit !== undefined || Number.isInteger(value))),
  };
}

/** A whole number, or `auto`. */
export function numberOrAuto(min: number, max: number): Format<number | 'auto'> {
  const plain = number(min, max);
  return {
    ...plain,
    wanted: `${plain.wanted}, or auto`,
    wantedOption: `${plain.wanted}, or auto`,
    type: "number | 'auto'",
    parse: (text) => (text === 'auto' ? text : plain.parse(text)),
    accepts: (value) => value === 'auto' || plain.accepts(value),
  };
}

/** Whole seconds in the environment, milliseconds in code. */
export function secondsAsMs(min: number, max: number): Format<number> {
  const milliseconds = number(min * 1000, max * 1000, 'milliseconds');
  return {
    ...milliseconds,
    wanted: `${min} to ${max} seconds`,
    parse: (text) => (/^\d+$/.test(text) ? Number(text) * 1000 : undefined),
    print: (value) => String(value / 1000),
  };
}

/** One of several words. @param wanted names them, if not all are for users */
export function choice<T extends string>(values: readonly T[], wanted = alternatives(values)): Format<T> {
  return {
    wanted,
    wantedOption: wanted,
    type: values.map((value) => `'${value}'`).join(' | '),
    parse: (text) => text as T,
    print: (value) => value,
    accepts: (value) => values.some((each) => each === value),
  };
}

export const onOff: Format<boolean> = {
  wanted: 'on or off',
  wantedOption: 'true or false',
  type: 'boolean',
  parse: (text) => (text === 'on' || text === 'off' ? text === 'on' : undefined),
  print: (value) => (value ? 'on' : 'off'),
  accepts: (value) => typeof value === 'boolean',
};

/** Items separated by commas; empty ones are skipped. @param mayBeNone whether `none` means an empty list */
export function list(
  wanted: string,
  isAllowed: (text: string) => boolean = () => true,
  mayBeNone = false,
): Format<readonly string[]> {
  return {
    wanted: `${wanted}, separated by commas${mayBeNone ? ', or none' : ''}`,
    wantedOption: `a list of ${wanted}`,
    type: 'readonly string[]',
    parse: (text) => {
      if (mayBeNone && text === 'none') return [];
      const items = text.split(',').map((item) => item.trim());
      return items.some(Boolean) ? items.filter(Boolean) : undefined;
    },
    print: (value) => value.join(',') || (mayBeNone ? 'none' : ''),
    accepts: (value) =>
      Array.isArray(value) && value.every((item) => typeof item === 'string' && isAllowed(item)),
  };
}

/** `a, b or c` */
function alternatives(words: readonly string[]): string {
  return words.join(', ').replace(/, ([^,]*)$/, ' or $1');
}
