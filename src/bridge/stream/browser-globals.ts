import { createRequire } from 'node:module';

/** Loaded only where Node has none of its own. */
const load = createRequire(import.meta.url);

/** Defines the browser globals that the Stream client expects besides those of WebRTC. Call it before importing the client. */
export function defineGlobals(webrtc: Readonly<Record<string, unknown>>): void {
  const browser = globalThis as { RTCPeerConnection?: unknown; navigator?: { userAgent?: string } };
  if (browser.RTCPeerConnection !== undefined) return;
  // The client asks whether an error is one of these.
  define('RTCPeerConnectionIceErrorEvent', class extends Event {});
  for (const [name, value] of Object.entries(webrtc)) define(name, value);
  // Built into Node since version 22.
  if (globalThis.WebSocket === undefined) define('WebSocket', load('ws'));
  // The client reads it to identify itself. Without media devices it does not ask for any.
  if (browser.navigator?.userAgent === undefined) {
    define('navigator', { userAgent: `Node.js/${process.versions.node}` });
  }
}

function define(name: string, value: unknown): void {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}
