import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo, Server, Socket } from 'node:net';
import { afterEach } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { type AgentHandler, type AgentServer, serveAgent } from '../../src/agents/index.js';
import type { GatewayOptions } from '../../src/index.js';
import type { AudioSource, SimulatedPhone } from '../../src/simulator/index.js';
import { startWithCarrier } from './carrier.js';
import { decibels, tone, usualAmplitude } from './media.js';
import { clock } from './time.js';

/** Amplitude of what agents say. */
export const LEVEL = 8_000;
/** Tolerance for a slow machine: phones conceal nothing that is late by less. */
export const PATIENT_MS = 300;
export const SECRET = 'a-secret-of-sixteen-bytes-or-more';
export const APOLOGY = { say: 'We are sorry.' };

export const CALL = {
  from: '+15550001111',
  to: '+15552223333',
  webhookUrl: 'https://voice.example.com/edge/twilio/voice',
  record: true,
  listens: true,
  dejitterMs: PATIENT_MS,
};

/** Run after each test. */
export const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

/** An agent of the library's own kind. */
export async function serve(handler: AgentHandler, options = {}): Promise<AgentServer> {
  const server = await serveAgent({ onError: () => {}, ...options }, handler);
  closers.push(() => server.close());
  return server;
}

/** A server that speaks no WebSocket by itself. */
export async function serveRaw(server: Server): Promise<string> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket.on('error', () => {})));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An agent that may do anything to its socket. */
export function serveSocket(handler: (socket: WebSocket) => void): Promise<string> {
  const http = createHttpServer();
  new WebSocketServer({ server: http }).on('connection', (socket) => {
    socket.on('error', () => {});
    handler(socket);
  });
  return serveRaw(http);
}

/** The same memory. */
export const bytesOf = ({ buffer, byteOffset, byteLength }: Int16Array) =>
  Buffer.from(buffer, byteOffset, byteLength);

/** A gateway whose calls an agent answers. */
export async function startWithAgent(agent: string | undefined, options: GatewayOptions = {}) {
  const started = await startWithCarrier(
    {},
    { ...(agent === undefined ? {} : { agent }), apology: APOLOGY, leadMs: PATIENT_MS, ...options },
  );
  const place = async (audio?: AudioSource, dejitterMs = PATIENT_MS) => {
    const phone = started.twilio.placeCall({
      ...CALL,
      dejitterMs,
      ...(audio === undefined ? {} : { audio }),
    });
    await phone.started;
    return phone;
  };
  return { ...started, place };
}

/** Loudness of a pitch in a part of what the caller heard, of what the agent sends. */
export function heardDb(phone: SimulatedPhone, hz: number, fromMs: number, toMs: number): number {
  return decibels(usualAmplitude(hz, 8_000, phone.heard().subarray(fromMs * 8, toMs * 8)) / LEVEL);
}

/** Says a tone once the phone is answered. */
export function saysTone(ms = 1_000): AgentHandler {
  return (call) => {
    call.on('answered', () => call.send(tone(700, call.sendRate, (call.sendRate * ms) / 1_000, LEVEL)));
  };
}

/** Whether the caller hears something now. */
export const isHearing = (phone: SimulatedPhone) => phone.ear.soundUntil > clock.now();
