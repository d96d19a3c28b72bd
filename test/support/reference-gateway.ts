import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';

/** A request that reached the reference gateway with a good signature. */
export interface SeenRequest {
  readonly path: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly form: Readonly<Record<string, string>>;
}

export interface ReferenceGatewayOptions {
  readonly authToken?: string;
  /** The public name that Twilio knows; default the loopback address itself. */
  readonly publicUrl?: string;
  /** Another answer to `/voice` and `/next` than `<Connect><Stream>`. */
  readonly answer?: (
    form: Readonly<Record<string, string>>,
    streamUrl: string,
    path: string,
  ) => string | RawAnswer;
  /** Another treatment of a stream than the echo. */
  readonly onStream?: (socket: WebSocket) => void;
}

export interface RawAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  readonly location?: string;
}

type Json = Record<string, unknown>;

/**
 * The smallest Media Streams server that is right: node:http and `ws`, signatures after Twilio's description
 * and nobody's library, every frame sent straight back. The simulator is tested against it, not against the
 * gateway that the simulator is there to test.
 */
export class ReferenceGateway {
  readonly requests: SeenRequest[] = [];
  /** Everything but media that came over the streams, parsed; media is counted. */
  readonly messages: Json[] = [];
  readonly media: Json[] = [];
  mediaCount = 0;
  /** Keep every media message, not only the first ten. */
  keepMedia = false;
  readonly closes: number[] = [];
  readonly sockets = new Set<WebSocket>();
  private readonly authToken: string;
  private readonly server: http.Server;
  private readonly upgrades = new WebSocketServer({ noServer: true, perMessageDeflate: false });

  private constructor(private readonly options: ReferenceGatewayOptions) {
    this.authToken = options.authToken ?? '12345';
    this.server = http.createServer((request, response) => this.handle(request, response));
    this.server.on('upgrade', (request, socket, head) => {
      const path = request.url ?? '/';
      const url = this.publicUrl.replace(/^http/, 'ws') + path;
      const good = request.headers['x-twilio-signature'] === this.sign(url, {});
      const refusal = !good || request.headers.origin !== undefined ? 403 : path === '/media/token' ? 0 : 401;
      if (refusal > 0) {
        socket.end(`HTTP/1.1 ${refusal} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
        return;
      }
      this.upgrades.handleUpgrade(request, socket, head, (opened) => this.converse(opened));
    });
  }

  static async listen(options: ReferenceGatewayOptions = {}): Promise<ReferenceGateway> {
    const gateway = new ReferenceGateway(options);
    gateway.server.listen(0, '127.0.0.1');
    await once(gateway.server, 'listening');
    return gateway;
  }

  /** Where it really listens. */
  get target(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  get publicUrl(): string {
    return this.options.publicUrl ?? this.target;
  }

  get voiceUrl(): string {
    return `${this.publicUrl}/voice`;
  }

  get streamUrl(): string {
    return `${this.publicUrl.replace(/^http/, 'ws')}/media/token`;
  }

  /** Sends to every open stream. */
  send(message: Json | string | Uint8Array): void {
    for (const socket of this.sockets) {
      socket.send(
        typeof message === 'string' || message instanceof Uint8Array ? message : JSON.stringify(message),
      );
    }
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.terminate();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private converse(socket: WebSocket): void {
    this.sockets.add(socket);
    socket.on('close', (code) => {
      this.closes.push(code);
      this.sockets.delete(socket);
    });
    if (this.options.onStream !== undefined) {
      this.options.onStream(socket);
      return;
    }
    socket.on('message', (data) => {
      const message = JSON.parse(String(data)) as Json & { media?: { payload: string }; streamSid?: string };
      if (message.event !== 'media') {
        this.messages.push(message);
        return;
      }
      this.mediaCount += 1;
      if (this.keepMedia || this.media.length < 10) this.media.push(message);
      const { streamSid } = message;
      socket.send(JSON.stringify({ event: 'media', streamSid, media: { payload: message.media?.payload } }));
    });
  }

  private handle(request: http.IncomingMessage, response: http.ServerResponse): void {
    let body = '';
    request.setEncoding('utf8');
    request.on('data', (text: string) => {
      body += text;
    });
    request.on('end', () => {
      const path = request.url ?? '/';
      const form = Object.fromEntries(new URLSearchParams(body));
      if (request.headers['x-twilio-signature'] !== this.sign(this.publicUrl + path, form)) {
        response.writeHead(403).end();
        return;
      }
      this.requests.push({ path, headers: request.headers, form });
      if (path !== '/voice' && path !== '/next') {
        response.writeHead(204).end();
        return;
      }
      const url = this.streamUrl;
      const answer =
        this.options.answer?.(form, url, path) ??
        `<?xml version="1.0" encoding="UTF-8"?><Response><Connect><Stream url="${url}" ` +
          `statusCallback="${this.publicUrl}/stream-status"><Parameter name="caller" value="${form.From}"/>` +
          '</Stream></Connect></Response>';
      const raw =
        typeof answer === 'string' ? { status: 200, contentType: 'text/xml', body: answer } : answer;
      response.writeHead(raw.status, {
        'content-type': raw.contentType,
        ...('location' in raw && raw.location !== undefined ? { location: raw.location } : {}),
      });
      response.end(raw.body);
    });
  }

  private sign(url: string, form: Readonly<Record<string, string>>): string {
    const sorted = Object.keys(form).sort();
    const text = url + sorted.map((name) => name + form[name]).join('');
    return createHmac('sha1', this.authToken).update(text).digest('base64');
  }
}
