import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach } from 'vitest';

const running: HeldApi[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((api) => api.close()));
});

/** Stands before a simulated Twilio's REST API, and passes its first request on only when it is let. */
export class HeldApi {
  /** Requests that came, the form in plain. */
  readonly asked: string[] = [];
  /** Where the API itself is. */
  target = '';
  /** Forwards held requests. */
  release = () => {};
  private readonly released = new Promise<void>((resolve) => {
    this.release = resolve;
  });
  private readonly server = http.createServer((request, response) => {
    this.pass(request, response).catch(() => response.destroy());
  });

  /** Closed after the test. */
  static async start(): Promise<HeldApi> {
    const api = new HeldApi();
    running.push(api);
    api.server.listen(0, '127.0.0.1');
    await once(api.server, 'listening');
    return api;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  close(): Promise<unknown> {
    this.release();
    return new Promise((resolve) => this.server.close(resolve).closeAllConnections());
  }

  private async pass(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    let form = '';
    for await (const chunk of request) form += chunk;
    this.asked.push(`${request.url} ${new URLSearchParams(form)}`);
    if (this.asked.length === 1) await this.released;
    const { authorization = '', 'content-type': contentType = '' } = request.headers;
    const answer = await fetch(this.target + request.url, {
      method: request.method ?? 'GET',
      headers: { authorization, ...(contentType === '' ? {} : { 'content-type': contentType }) },
      ...(form === '' ? {} : { body: form }),
    });
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text());
  }
}
