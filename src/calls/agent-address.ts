/** Whether a text names an agent: a `ws(s)://` URL without fragment, a model as `vendor:model`, or the name of a handler. */
export function isAgent(text: string): boolean {
  if (/^wss?:/i.test(text)) return /^wss?:\/\/[^\s/#][^\s#]*$/i.test(text) && URL.canParse(text);
  return /^[a-z][a-z0-9_-]{0,63}(:\w[\w.:/-]{0,127})?$/i.test(text);
}
