import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { GatewayError } from '../errors.js';
import { isLoopback } from './dial.js';
import { twilioError } from './errors.js';
import { printableUrl } from './printable-url.js';
import type { WebhookAnswer } from './webhook.js';

/** Twilio's limit of a `<Parameter>`: name and value together stay below it. */
const MAX_PARAMETER_LENGTH = 500;
/** Most redirects without a stream between them, so that no loop is endless. */
export const MAX_REDIRECT_VERBS = 10;
/** Redirects of a whole call, however many streams it had. */
export const MAX_REDIRECT_VERBS_A_CALL = 100;

/** `<Connect><Stream>`. Source: twilio.com/docs/voice/twiml/stream. */
export interface StreamVerb {
  readonly verb: 'stream';
  readonly url: string;
  readonly name: string | undefined;
  /** Sent back as `start.customParameters`. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly statusCallback: string | undefined;
  readonly statusCallbackMethod: 'GET' | 'POST';
  /** `<Connect action>`: asked for more TwiML when the stream ended. */
  readonly action: string | undefined;
  readonly method: 'GET' | 'POST';
}

/** The TwiML that the simulator carries out. */
export type Verb =
  | StreamVerb
  | { readonly verb: 'say'; readonly text: string }
  | { readonly verb: 'dial'; readonly to: string }
  | { readonly verb: 'pause'; readonly seconds: number }
  | { readonly verb: 'redirect'; readonly url: string; readonly method: 'GET' | 'POST' }
  | { readonly verb: 'reject'; readonly reason: 'busy' | 'rejected' }
  | { readonly verb: 'hangup' };

/** TwiML verbs that Twilio knows and the simulator does not carry out. */
const UNSUPPORTED = new Set([
  'Enqueue',
  'Gather',
  'Leave',
  'Pay',
  'Play',
  'Prompt',
  'Record',
  'Refer',
  'Sms',
  'Start',
  'Stop',
]);

interface Element {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: readonly Element[];
  readonly text: string;
}

/**
 * Reads a webhook's answer as Twilio does.
 * @throws GatewayError `GW_SIM_11200` for a status other than 2xx, `GW_SIM_12300` for a content type that is
 * not XML, and what {@link parseTwiml} throws
 */
export function twimlOf(answer: WebhookAnswer): Verb[] {
  if (answer.status < 200 || answer.status > 299) {
    throw twilioError(
      11200,
      `Expected status 200 from ${printableUrl(answer.url)} but received ${answer.status}`,
      {
        status: answer.status,
      },
    );
  }
  const type = answer.contentType.split(';')[0]?.trim().toLowerCase() ?? '';
  if (!['text/xml', 'application/xml', 'text/html'].includes(type)) {
    throw twilioError(
      12300,
      `Expected text/xml or application/xml from ${printableUrl(answer.url)} but received "${type}"`,
    );
  }
  return parseTwiml(answer.body, answer.url);
}

/**
 * Parses TwiML. Relative URLs are resolved against `baseUrl`, the URL it came from.
 * @throws GatewayError `GW_SIM_12100` bad XML, `GW_SIM_12200` not TwiML, `GW_SIM_11100` a stream URL that Twilio
 * would not dial, `GW_SIM_UNSUPPORTED` for verbs that only Twilio carries out
 */
export function parseTwiml(xml: string, baseUrl?: string): Verb[] {
  const root = parseXml(xml);
  if (root.name !== 'Response') {
    throw twilioError(12100, `Expected <Response> for the root of TwiML but received <${root.name}>`);
  }
  return root.children.map((element) => verbOf(element, baseUrl));
}

function verbOf(element: Element, baseUrl: string | undefined): Verb {
  switch (element.name) {
    case 'Connect':
      return streamOf(element, baseUrl);
    case 'Say':
      return { verb: 'say', text: element.text };
    case 'Dial':
      return { verb: 'dial', to: calleeOf(element) };
    case 'Pause':
      return { verb: 'pause', seconds: secondsOf(element) };
    case 'Redirect':
      return { verb: 'redirect', url: absolute(element.text, baseUrl), method: methodOf(element, 'method') };
    case 'Hangup':
      return { verb: 'hangup' };
    case 'Reject':
      return { verb: 'reject', reason: element.attributes.reason === 'busy' ? 'busy' : 'rejected' };
    default:
      if (!UNSUPPORTED.has(element.name)) {
        throw twilioError(12200, `Expected a TwiML verb but received <${element.name}>`);
      }
      throw unsupported('Connect, Say, Dial, Pause, Redirect, Hangup or Reject', element.name);
  }
}

/** A number as the verb's own text, or one `<Number>` or `<Sip>` within. */
function calleeOf(dial: Element): string {
  const [inner] = dial.children;
  if (inner !== undefined && inner.name !== 'Number' && inner.name !== 'Sip') {
    throw unsupported('<Dial> of a number or <Sip>', `Dial><${inner.name}`);
  }
  const to = (inner?.text ?? dial.text).trim();
  if (to === '') throw twilioError(12200, 'Expected a number for <Dial> but received nothing');
  return to;
}

function streamOf(connect: Element, baseUrl: string | undefined): StreamVerb {
  const [stream] = connect.children;
  if (stream === undefined)
    throw twilioError(12200, 'Expected <Stream> within <Connect> but received nothing');
  if (stream.name !== 'Stream') throw unsupported('<Connect><Stream>', `Connect><${stream.name}`);
  const { url, name, statusCallback, track } = stream.attributes;
  if (track !== undefined && track !== 'inbound_track') {
    throw twilioError(
      12200,
      `Expected inbound_track for track of a bidirectional stream but received "${track}"`,
    );
  }
  const parameters: Record<string, string> = {};
  for (const child of stream.children) {
    if (child.name !== 'Parameter') {
      throw twilioError(12200, `Expected <Parameter> within <Stream> but received <${child.name}>`);
    }
    const { name: key = '', value = '' } = child.attributes;
    if (key === '') throw twilioError(12200, 'Expected a name for <Parameter> but received none');
    if (key.length + value.length >= MAX_PARAMETER_LENGTH) {
      throw twilioError(
        12200,
        `Expected fewer than ${MAX_PARAMETER_LENGTH} characters for <Parameter> "${key}" but received ` +
          `${key.length + value.length}`,
      );
    }
    parameters[key] = value;
  }
  return {
    verb: 'stream',
    url: streamUrlOf(url ?? '', baseUrl),
    name,
    parameters,
    statusCallback: statusCallback === undefined ? undefined : absolute(statusCallback, undefined),
    statusCallbackMethod: methodOf(stream, 'statusCallbackMethod'),
    action:
      connect.attributes.action === undefined ? undefined : absolute(connect.attributes.action, baseUrl),
    method: methodOf(connect, 'method'),
  };
}

/** Twilio dials wss:// only and no query string; `ws://` is let through to this very machine. */
function streamUrlOf(text: string, baseUrl: string | undefined): string {
  const relative = text !== '' && !/^[a-z][a-z0-9+.-]*:/i.test(text);
  const base = baseUrl?.replace(/^http/, 'ws');
  const url = relative ? absolute(text, base) : text;
  if (!URL.canParse(url))
    throw twilioError(11100, `Expected a wss:// URL for <Stream> but received "${printableUrl(text)}"`);
  const { protocol, hostname, search } = new URL(url);
  if (protocol !== 'wss:' && !(protocol === 'ws:' && isLoopback(hostname))) {
    throw twilioError(11100, `Expected a wss:// URL for <Stream> but received "${printableUrl(url)}"`);
  }
  if (search !== '') {
    throw twilioError(
      31920,
      `Expected a URL without query string for <Stream> but received one, of "${printableUrl(url)}"; use <Parameter>`,
    );
  }
  return url;
}

function absolute(text: string, baseUrl: string | undefined): string {
  if (!URL.canParse(text, baseUrl))
    throw twilioError(11100, `Expected an absolute URL but received "${printableUrl(text)}"`);
  return URL.canParse(text) ? text : new URL(text, baseUrl).href;
}

function methodOf(element: Element, attribute: string): 'GET' | 'POST' {
  const method = (element.attributes[attribute] ?? 'POST').toUpperCase();
  if (method === 'GET' || method === 'POST') return method;
  throw twilioError(
    12200,
    `Expected GET or POST for ${attribute} of <${element.name}> but received "${method}"`,
  );
}

function secondsOf(pause: Element): number {
  const seconds = Number(pause.attributes.length ?? '1');
  if (Number.isInteger(seconds) && seconds >= 1) return seconds;
  throw twilioError(12200, `Expected whole seconds for <Pause> but received "${pause.attributes.length}"`);
}

function unsupported(what: string, name: string): GatewayError {
  return new GatewayError(
    'GW_SIM_UNSUPPORTED',
    `Expected ${what} for TwiML that the simulator carries out but received <${name}>`,
  );
}

type ParsedNode = Readonly<Record<string, unknown>>;

function parseXml(xml: string): Element {
  const valid = XMLValidator.validate(xml);
  if (valid !== true) {
    throw twilioError(12100, `Expected well-formed XML for TwiML but received an error: ${valid.err.msg}`);
  }
  // Only XML's own entities and numeric ones; text is never parsed further.
  const parser = new XMLParser({
    preserveOrder: true,
    ignoreAttributes: false,
    attributeNamePrefix: '',
    parseTagValue: false,
    parseAttributeValue: false,
    ignoreDeclaration: true,
    ignorePiTags: true,
    htmlEntities: true,
  });
  const roots = elementsOf(parser.parse(xml) as ParsedNode[]);
  const [root] = roots;
  if (root === undefined || roots.length !== 1) {
    throw twilioError(12100, `Expected one root element for TwiML but received ${roots.length}`);
  }
  return root;
}

function elementsOf(nodes: readonly ParsedNode[]): Element[] {
  return nodes.flatMap((node) => {
    const name = Object.keys(node).find((key) => key !== ':@' && key !== '#text');
    if (name === undefined) return [];
    const content = node[name] as readonly ParsedNode[];
    return {
      name,
      attributes: (node[':@'] ?? {}) as Record<string, string>,
      children: elementsOf(content),
      text: content.map((child) => (typeof child['#text'] === 'string' ? child['#text'] : '')).join(''),
    };
  });
}
