/** Whether XML can carry a text: it has no way to write control characters or lone surrogates. */
export function isXmlText(text: string): boolean {
  return !UNWRITABLE.test(text) && !LONE_SURROGATE.test(text);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const UNWRITABLE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/;
const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
