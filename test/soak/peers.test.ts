import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterAll, describe, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { BenchCertificate } from '../../bench/capacity/bench-certificate.js';
import { GeneratorProgram } from '../../bench/capacity/generator.js';
import { behindHaproxy } from '../../bench/peers/haproxy.js';
import { load } from '../../bench/peers/load.js';
import type { Peer } from '../../bench/peers/peer.js';
import { mediaOrder } from '../../bench/peers/peer.js';
import { floor, GoServer, naive, python } from '../../bench/peers/programs.js';
import { rtpengine } from '../../bench/peers/rtpengine.js';
import { isSame, type Sound, soundOf } from '../../bench/peers/sound.js';
import { threadSeconds, treeCpuMs } from '../../bench/processor.js';
import { AudioSource } from '../../src/simulator/index.js';
import { needs } from '../support/needs.js';
import { eventually } from '../support/time.js';

/** Of some peers a busy machine loses packets, or makes them too late: they are asked again, as by the bench. */
const TRIES = 5;

const go = new GoServer();
const certificate = BenchCertificate.isPossible() ? new BenchCertificate() : undefined;
afterAll(() => {
  go.remove();
  certificate?.remove();
});

const isPresent = (peer: Peer) => needs(peer.name, peer.missing() ?? '', () => peer.missing() === undefined);
const peers = [
  floor('the uWS floor'),
  naive('naive Node at q3', 3),
  naive('naive Node at q7', 7),
  python('the Python server with audioop', 'audioop'),
  python('the Python server with PyAV', 'pyav'),
  go.peer('the Go server with linear interpolation', 'linear'),
  go.peer('the Go server with soxr', 'soxr'),
  rtpengine('rtpengine with PCMA', 'PCMA'),
  rtpengine('rtpengine with Opus', 'Opus'),
  ...(certificate === undefined
    ? []
    : [behindHaproxy('the uWS floor behind HAProxy with TLS', floor('the uWS floor'), certificate)]),
].filter(isPresent);

describe("the servers that the bench compares Trunkline's with", () => {
  it.each(peers)('$name echoes what a phone says', async (peer) => {
    const server = await peer.start();
    try {
      const sounds: Sound[] = [];
      for (let tries = 0; tries < TRIES && !sounds.some((sound) => isSame(sound, peer.gainDb)); tries++)
        sounds.push(await soundOf(await server.order()));
      expect(
        sounds.some((sound) => isSame(sound, peer.gainDb)),
        JSON.stringify(sounds),
      ).toBe(true);
    } finally {
      await server.stop();
    }
  });

  it.each([
    { echo: 'half as loud', of: quieter },
    { echo: 'silent', of: () => AudioSource.silence().payloads[0] as string },
  ])('does not count an echo that is $echo', async ({ of }) => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    try {
      await once(server, 'listening');
      server.on('connection', (socket) => {
        socket.on('message', (data) => {
          const { event, media, streamSid } = JSON.parse(String(data));
          if (event !== 'media') return;
          socket.send(JSON.stringify({ event, streamSid, media: { payload: of(media.payload) } }));
        });
      });
      const { port } = server.address() as AddressInfo;
      expect(isSame(await soundOf(mediaOrder(port)))).toBe(false);
    } finally {
      server.close();
    }
  });
});

const runs = needs('Linux and a compiler', 'apt-get install g++', () => GeneratorProgram.isPossible());

describe.runIf(runs)('what a server uses', () => {
  it('includes the CPU of the processes that it started', async () => {
    const burn = 'while (process.cpuUsage().user < 300_000);setInterval(() => {}, 1_000)';
    const code = `require('node:child_process').spawn(process.execPath, ['-e', '${burn}']); setInterval(() => {}, 1_000)`;
    const child = spawn(process.execPath, ['-e', code], { stdio: 'ignore', detached: true });
    try {
      const pid = child.pid as number;
      await eventually('the CPU of the second process', () => {
        const own = [...threadSeconds(pid).values()].reduce((sum, each) => sum + each, 0) * 1_000;
        return treeCpuMs(pid) >= own + 250;
      });
    } finally {
      process.kill(-(child.pid as number), 'SIGKILL');
    }
  });

  it('is measured while phones talk', async () => {
    const program = GeneratorProgram.compile();
    try {
      const conditions = { program, cores: undefined, warmUpMs: 0, holdMs: 1_000 };
      const { cpu, phones, lostBefore } = await load(floor('floor'), 40, conditions);
      expect(lostBefore).toBe(0);
      expect(phones.received + phones.missing).toBe(phones.sent);
      expect(phones.received).toBeGreaterThan(0);
      expect(cpu).toBeGreaterThan(0);
    } finally {
      program.remove();
    }
  });
});

/** Each µ-law code one segment lower. */
function quieter(payload: string): string {
  const codes = Buffer.from(payload, 'base64');
  return Buffer.from(codes.map((code) => ((code & 0x70) === 0x70 ? code : code + 0x10))).toString('base64');
}
