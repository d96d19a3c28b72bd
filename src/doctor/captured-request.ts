import { GatewayError } from '../errors.js';
import { shellWords } from './shell-words.js';

/** A captured Twilio request. */
export interface CapturedRequest {
  readonly method: string;
  /** An absolute URL, or only path and query, as captured. */
  readonly url: string;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/**
 * Parses common formats: a raw HTTP request (also as `curl -v` prints it), a curl command, or JSON with url,
 * headers and body, as in logs, ngrok's inspector and HAR files.
 * @throws GatewayError `GW_REQUEST_UNREADABLE`
 */
export function parseCapturedRequest(text: string): CapturedRequest {
  const kept = text.replace(/^\ufeff/, '').trimStart();
  if (/^[{[]/.test(kept)) return fromJson(kept);
  if (/^curl\s/.test(kept)) return fromCurl(kept);
  return fromRaw(kept);
}

function fromRaw(text: string): CapturedRequest {
  // `curl -v` marks the request lines and prints others in between.
  const marked = /^> /m.test(text)
    ? text
        .split(/\r?\n/)
        .filter((line) => !/^[*<{}]/.test(line))
        .map((line) => line.replace(/^> ?/, ''))
        .join('\n')
    : text;
  const [, head = '', body = ''] = /^(.*?)(?:\r?\n\r?\n(.*))?$/s.exec(marked.trimEnd()) ?? [];
  const [first = '', ...lines] = head.split(/\r?\n/);
  const [, method, url] = /^([A-Z]+) (\S+)(?: HTTP\/[\d.]+)?\s*$/.exec(first) ?? [];
  if (method === undefined || url === undefined)
    throw unreadable(`a first line ${JSON.stringify(first.slice(0, 60))}`);
  const headers = lines.flatMap((line): [string, unknown][] => {
    const [, name, value] = /^([^:\s]+):\s*(.*?)\s*$/.exec(line) ?? [];
    return name === undefined ? [] : [[name, value]];
  });
  return { method, url, headers: headersOf(headers), body };
}

function fromCurl(text: string): CapturedRequest {
  const headers: [string, unknown][] = [];
  const data: string[] = [];
  let method: string | undefined;
  let url: string | undefined;
  const words = shellWords(text).slice(1);
  for (let i = 0; i < words.length; i++) {
    const [, option, attached] =
      /^(--[a-z-]+)(?:=(.*))?$/s.exec(words[i] ?? '') ?? /^(-[XHd])(.+)?$/s.exec(words[i] ?? '') ?? [];
    const value = () => attached ?? words[++i] ?? '';
    switch (option) {
      case '-X':
      case '--request':
        method = value();
        break;
      case '-H':
      case '--header': {
        const [, name, content] = /^([^:]+):\s*(.*)$/s.exec(value()) ?? [];
        if (name !== undefined) headers.push([name, content]);
        break;
      }
      case '-d':
      case '--data':
      case '--data-ascii':
      case '--data-raw':
      case '--data-binary':
        data.push(value());
        break;
      case '--data-urlencode': {
        const [, name = '', content = ''] = /^(?:([^=]*)=)?(.*)$/s.exec(value()) ?? [];
        data.push(name === '' ? encodeURIComponent(content) : `${name}=${encodeURIComponent(content)}`);
        break;
      }
      case '--url':
        url = value();
        break;
      default:
        if (/^(https?|wss?):\/\//.test(words[i] ?? '')) url = words[i];
    }
  }
  if (url === undefined) throw unreadable('a curl command without an absolute URL');
  return {
    method: method ?? (data.length > 0 ? 'POST' : 'GET'),
    url,
    headers: headersOf(headers),
    body: data.join('&'),
  };
}

// biome-ignore lint/suspicious/noExplicitAny: any shape a log may have
type LoggedRequest = any;

function fromJson(text: string): CapturedRequest {
  let kept: LoggedRequest;
  try {
    kept = JSON.parse(text);
  } catch {
    throw unreadable('JSON that does not parse');
  }
  // A list, an ngrok export or a HAR file: take the first request.
  kept = [kept].flat()[0];
  kept = kept?.requests?.[0] ?? kept?.log?.entries?.[0] ?? kept;
  kept = kept?.request ?? kept;
  if (typeof kept?.raw === 'string') return fromRaw(Buffer.from(kept.raw, 'base64').toString());
  const url = kept?.url ?? kept?.originalUrl ?? kept?.uri ?? kept?.path;
  if (typeof url !== 'string' || kept.headers === null || typeof kept.headers !== 'object') {
    throw unreadable('JSON without url and headers');
  }
  const headers = Array.isArray(kept.headers)
    ? kept.headers.map(({ name, value }: { name: unknown; value: unknown }) => [String(name), value])
    : Object.entries(kept.headers);
  const body = kept.body ?? kept.postData?.text ?? kept.rawBody ?? kept.form ?? kept.params ?? '';
  return {
    method: typeof kept.method === 'string' ? kept.method : body === '' ? 'GET' : 'POST',
    url,
    headers: headersOf(headers),
    body: typeof body === 'string' ? body : formText(body),
  };
}

function headersOf(entries: readonly [string, unknown][]): Record<string, string> {
  const headers: Record<string, string> = Object.create(null);
  for (const [name, value] of entries) {
    const text = [value].flat().join(', ');
    const before = headers[name.toLowerCase()];
    headers[name.toLowerCase()] = before === undefined ? text : `${before}, ${text}`;
  }
  return headers;
}

/** Encodes a form that was already parsed. */
function formText(form: Readonly<Record<string, unknown>>): string {
  const pairs = Object.entries(form).flatMap(([name, value]) =>
    [value].flat().map((each) => [name, String(each)]),
  );
  return new URLSearchParams(pairs as [string, string][]).toString();
}

function unreadable(received: string): GatewayError {
  return new GatewayError(
    'GW_REQUEST_UNREADABLE',
    `Expected a raw HTTP request, a curl command, or JSON with url, headers and body for --request but received ${received}`,
  );
}
