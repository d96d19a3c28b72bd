import { StreamClient } from '@stream-io/node-sdk';
import { decibels } from '../media.js';
import type { HeardEvent, StreamKeys } from '../stream/agent.js';
import { Chromium } from './chromium.js';
import type { Page } from './page.js';
import { PageServer } from './page-server.js';

/** Longest time for Chromium to show its first page: a machine that has never run it reads hundreds of megabytes. */
const START_MS = 30_000;
const OPEN_MS = 15_000;

export interface BrowserUserOptions {
  readonly callId: string;
  readonly callType?: string;
  readonly userId: string;
  /** The tone that it plays, and its peak out of 32767. */
  readonly hz: number;
  readonly amplitude: number;
  /** Settings of the call, if this creates it. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Of the client's profiles of sound quality, by number; for calls with `hifi_audio_enabled`. */
  readonly profile?: number;
}

/** A browser whose every tab is a participant. */
export class Browser {
  private readonly users: BrowserUser[] = [];
  private tabs = 0;

  private constructor(
    private readonly server: PageServer,
    private readonly chromium: Chromium,
    /** Opens the others. */
    private readonly first: Page,
  ) {}

  static async start(path: string): Promise<Browser> {
    const server = await PageServer.start();
    const opened = server.page('first', START_MS).catch(() => undefined);
    const chromium = await Chromium.start(path, server.urlOf('first'));
    const first = await Promise.race([opened, chromium.gone]);
    if (first) return new Browser(server, chromium, first);
    await Promise.all([chromium.close(), server.close()]);
    throw new Error(`Expected ${path} to show a page but received none:\n${chromium.log}`);
  }

  /** Opens a tab and joins a call there, which is created if there is none. */
  async join(double: StreamKeys, options: BrowserUserOptions): Promise<BrowserUser> {
    const { url, apiKey, apiSecret } = double;
    const { userId, callType = 'default', callId, settings, ...rest } = options;
    const stream = new StreamClient(apiKey, apiSecret, { basePath: url });
    await stream.upsertUsers([{ id: userId, name: userId }]);
    const data = {
      created_by_id: userId,
      ...(settings === undefined ? {} : { settings_override: settings }),
    };
    await stream.video.call(callType, callId).getOrCreate({ data });
    const token = stream.generateUserToken({ user_id: userId });

    const name = `tab-${++this.tabs}`;
    const [page] = await Promise.all([
      this.server.page(name, OPEN_MS),
      this.first.ask('open', { url: this.server.urlOf(name) }),
    ]);
    const user = new BrowserUser(page);
    this.users.push(user);
    await page.ask('join', { url, apiKey, token, userId, callType, callId, ...rest });
    return user;
  }

  /** Closes all tabs that {@link join} opened; gives what went wrong in them unasked. */
  async closeTabs(): Promise<string[]> {
    const users = this.users.splice(0);
    await Promise.all(users.map((user) => user.closeTab()));
    return users.flatMap(({ page }) => page.errors);
  }

  async close(): Promise<void> {
    await Promise.all([this.chromium.close(), this.server.close()]);
  }
}

/** Somebody in a call, in a tab. */
export class BrowserUser {
  constructor(readonly page: Page) {}

  play(hz: number, amplitude: number): Promise<void> {
    return this.page.ask('play', { hz, amplitude });
  }

  mute(): Promise<void> {
    return this.page.ask('mute');
  }

  unmute(): Promise<void> {
    return this.page.ask('unmute');
  }

  /** Level of a tone in the last half second of the loudest participant, in dB relative to an amplitude of 32767. */
  async level(hz: number, against: number): Promise<number> {
    const amplitude = await this.page.ask<number>('heard', { hz });
    return decibels(Math.max(amplitude, 1e-3) / against);
  }

  /** Custom events received, its own among them. */
  events(): Promise<HeardEvent[]> {
    return this.page.ask('events');
  }

  sendEvent(custom: Record<string, unknown>): Promise<void> {
    return this.page.ask('sendEvent', { custom });
  }

  remoteUserIds(): Promise<string[]> {
    return this.page.ask('remoteUserIds');
  }

  /** Leaves as somebody does who has had enough: without a word. */
  closeTab(): Promise<void> {
    return this.page.close();
  }
}
