/** A URL as messages and reports may hold it: they are passed around; user, password and query are not. */
export function printableUrl(text: string): string {
  if (URL.canParse(text)) {
    const { protocol, host, pathname } = new URL(text);
    return `${protocol}//${host}${pathname}`;
  }
  // Where the secret ends in what does not parse, nobody knows.
  return /[@?#]/.test(text) ? 'a text that is no URL' : text;
}
