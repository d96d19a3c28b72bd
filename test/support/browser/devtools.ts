import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import WebSocket from 'ws';
import { Chromium } from './chromium.js';

/** A machine that has never run it reads hundreds of megabytes. */
const START_MS = 30_000;
const COMMAND_MS = 30_000;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Record<string, unknown>;
  // biome-ignore lint/suspicious/noExplicitAny: as the protocol says
  readonly result?: any;
  readonly error?: { message: string };
}

export interface TabOptions {
  readonly width?: number;
  readonly height?: number;
  /** A command that starts Chromium, and its arguments. */
  readonly before?: readonly string[];
}

/** Keys that are no characters, by the protocol's own codes. */
const KEYS: Readonly<Record<string, { code: string; windowsVirtualKeyCode: number; text?: string }>> = {
  Tab: { code: 'Tab', windowsVirtualKeyCode: 9 },
  Enter: { code: 'Enter', windowsVirtualKeyCode: 13, text: '\r' },
  Escape: { code: 'Escape', windowsVirtualKeyCode: 27 },
  ' ': { code: 'Space', windowsVirtualKeyCode: 32, text: ' ' },
};

/** A tab of a headless Chromium, used as somebody would: keys, eyes, and an ear for what it complains of. */
export class Tab {
  /** Errors and warnings on its console, exceptions, requests that failed. */
  readonly complaints: string[] = [];
  private lastId = 0;
  private readonly asked = new Map<number, (message: Message) => void>();

  private constructor(
    private readonly chromium: Chromium,
    private readonly socket: WebSocket,
  ) {
    socket.on('message', (data) => this.receive(JSON.parse(String(data)) as Message));
  }

  /** Starts the Chromium at `path` with one empty tab. */
  static async open(
    path: string,
    { width = 1_280, height = 800, before = [] }: TabOptions = {},
  ): Promise<Tab> {
    const flags = ['--remote-debugging-port=0', `--window-size=${width},${height}`];
    const chromium = await Chromium.start(path, 'about:blank', flags, before);
    try {
      const socket = new WebSocket(await pageUrl(chromium), { perMessageDeflate: false });
      await once(socket, 'open');
      const tab = new Tab(chromium, socket);
      for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await tab.ask(`${domain}.enable`);
      await tab.resize(width, height);
      return tab;
    } catch (error) {
      await chromium.close();
      throw error;
    }
  }

  /** @param method of the DevTools protocol */
  async ask(method: string, params: object = {}): Promise<Message['result']> {
    const id = ++this.lastId;
    const answered = new Promise<Message>((resolve) => this.asked.set(id, resolve));
    this.socket.send(JSON.stringify({ id, method, params }));
    const message = await Promise.race([
      answered,
      pause(COMMAND_MS, { error: { message: 'nothing' } } as Message, { ref: false }),
    ]);
    if (message.error) throw new Error(`Expected ${method} but received ${message.error.message}`);
    return message.result;
  }

  async go(url: string): Promise<void> {
    await this.ask('Page.navigate', { url });
    await this.until(`document.readyState === 'complete'`);
  }

  /** The value of an expression in the page; promises are waited for. */
  async read<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.ask('Runtime.evaluate', {
      expression,
      returnByValue: true,
      awaitPromise: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value as T;
  }

  /** Waits until an expression is true in the page. */
  async until(expression: string, ms = 15_000): Promise<void> {
    const deadline = performance.now() + ms;
    // A page that is just being replaced answers nothing.
    while (!(await this.read<boolean>(expression).catch(() => false))) {
      if (performance.now() > deadline) {
        const text = await this.read<string>('document.body.innerText').catch(() => '');
        throw new Error(`Expected ${expression} within ${ms} ms but received: ${text.slice(0, 2_000)}`);
      }
      await pause(25);
    }
  }

  /** Presses keys one after the other: characters, or names such as `Tab`. */
  async press(...keys: readonly string[]): Promise<void> {
    for (const key of keys) {
      const { text = key.length === 1 ? key : undefined, ...code } = KEYS[key] ?? {};
      const event = { key, ...code, ...(text === undefined ? {} : { text }) };
      await this.ask('Input.dispatchKeyEvent', { type: 'keyDown', ...event });
      await this.ask('Input.dispatchKeyEvent', { type: 'keyUp', ...event });
    }
  }

  async type(text: string): Promise<void> {
    await this.ask('Input.insertText', { text });
  }

  /** Presses Tab until an expression about `document.activeElement` is true. */
  async tabTo(expression: string, most = 200): Promise<void> {
    for (let i = 0; i < most; i++) {
      if (await this.read<boolean>(expression)) return;
      await this.press('Tab');
    }
    throw new Error(`Expected ${expression} after ${most} presses of Tab but received none`);
  }

  /** What the system likes: `light` or `dark`. */
  async prefer(
    scheme: 'light' | 'dark',
    motion: 'reduce' | 'no-preference' = 'no-preference',
  ): Promise<void> {
    await this.ask('Emulation.setEmulatedMedia', {
      features: [
        { name: 'prefers-color-scheme', value: scheme },
        { name: 'prefers-reduced-motion', value: motion },
      ],
    });
  }

  /** The window's inside, in CSS pixels. */
  async resize(width: number, height: number): Promise<void> {
    const device = { deviceScaleFactor: 1, mobile: false };
    await this.ask('Emulation.setDeviceMetricsOverride', { width, height, ...device });
  }

  /** A screenshot as PNG. */
  async picture(): Promise<Buffer> {
    const { data } = await this.ask('Page.captureScreenshot', { format: 'png' });
    return Buffer.from(data, 'base64');
  }

  async close(): Promise<void> {
    this.socket.terminate();
    await this.chromium.close();
  }

  private receive({ id, method, params, ...answer }: Message): void {
    if (id !== undefined) {
      this.asked.get(id)?.(answer);
      this.asked.delete(id);
      return;
    }
    // biome-ignore lint/suspicious/noExplicitAny: as the protocol says
    const about = params as any;
    if (method === 'Runtime.exceptionThrown') this.complaints.push(JSON.stringify(about.exceptionDetails));
    if (method === 'Runtime.consoleAPICalled' && about.type !== 'log' && about.type !== 'info') {
      this.complaints.push(`${about.type}: ${JSON.stringify(about.args)}`);
    }
    if (method === 'Log.entryAdded')
      this.complaints.push(`${about.entry.level}: ${about.entry.text} ${about.entry.url}`);
  }
}

/** Where the DevTools of its only tab are. */
async function pageUrl(chromium: Chromium): Promise<string> {
  const deadline = performance.now() + START_MS;
  for (;;) {
    const port = /DevTools listening on ws:\/\/127\.0\.0\.1:(\d+)/.exec(chromium.log)?.[1];
    if (port !== undefined) {
      const tabs = await fetch(`http://127.0.0.1:${port}/json/list`).then((answer) => answer.json());
      const tab = (tabs as { type: string; webSocketDebuggerUrl: string }[]).find(
        ({ type }) => type === 'page',
      );
      if (tab) return tab.webSocketDebuggerUrl;
    }
    if (performance.now() > deadline) {
      throw new Error(`Expected Chromium to listen but received:\n${chromium.log}`);
    }
    await pause(50);
  }
}
