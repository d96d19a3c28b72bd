/** A date as Twilio writes it, with a numeric zone. */
export function rfc2822(date: Date): string;
export function rfc2822(date: Date | undefined): string | null;
export function rfc2822(date: Date | undefined): string | null {
  return date === undefined ? null : date.toUTCString().replace('GMT', '+0000');
}
