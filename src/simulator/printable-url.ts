/** A URL as messages and reports may hold it: they are passed around; user, password and query are not. */
export function printableUrl(text: string): string {
  if (URL.canParse(text)) {
    const { protocol, host, pathname } = new URL(text);
    return `${protocol}//${host}${pathname}`;
  }
  // In text that does not parse, the end of the secret is unknown.
  return /[@?#]/.test(text) ? 'a text that is no URL' : text;
}
