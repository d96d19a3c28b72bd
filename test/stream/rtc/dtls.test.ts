import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import * as werift from 'werift';
import type { DtlsSession, SrtpProfile } from '../../../src/rtc/native.js';
import { exchange, expectHeard, pair, taken } from '../../rtc/dtls-pair.js';
import { makeCertificate } from '../../support/certificate.js';
import { leanOnly } from '../../support/rtc-native.js';

const native = leanOnly();

const freed: (() => unknown)[] = [];
afterEach(async () => {
  for (const free of freed.splice(0).reverse()) await free();
});

/** Runs the timers of sessions, until `isDone`. OpenSSL measures the time by itself. */
async function runTimers(sessions: readonly DtlsSession[], flush: () => unknown, isDone: () => boolean) {
  for (;;) {
    flush();
    if (isDone()) return;
    const due = sessions.map((session) => session.timeoutMs()).filter((ms) => ms >= 0);
    await setTimeout(Math.min(50, ...due));
    for (const session of sessions) session.timeout();
  }
}

describe('a link that loses, repeats and reorders', () => {
  /** What becomes of a flight. */
  function badLink(seed: number) {
    let state = seed;
    const random = () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state / 2 ** 32;
    };
    return (flight: Uint8Array[]) =>
      flight
        .flatMap((datagram) => {
          if (random() < 0.3) return [];
          return random() < 0.2 ? [datagram, datagram] : [datagram];
        })
        .map((datagram) => ({ datagram, at: random() }))
        .sort((a, b) => a.at - b.at)
        .map(({ datagram }) => datagram);
  }

  it('connects 30 pairs, each in the end', async () => {
    const seeds = Array.from({ length: 30 }, (_, i) => i + 1);
    await Promise.all(
      seeds.map(async (seed) => {
        const { client, server, certificates } = pair(native, 300);
        const through = badLink(seed);
        client.start();
        await runTimers(
          [client, server],
          () => exchange(client, server, through),
          () => client.timeoutMs() < 0 && server.timeoutMs() < 0,
        );
        expect([client.state, server.state], `seed ${seed}`).toEqual(['connected', 'connected']);
        expect(client.peerFingerprint('sha-256')).toBe(certificates[1].fingerprint);
        expectHeard(client.srtp(), server.srtp());
        expectHeard(server.srtp(), client.srtp());
      }),
    );
  });
});

describe('werift', () => {
  const NUMBERS = { AES128_CM_HMAC_SHA1_80: 1, AEAD_AES_128_GCM: 7 } as const;

  /** Another implementation as the peer, over memory. */
  async function peer(role: 'client' | 'server', profile: 1 | 7, session: DtlsSession) {
    const transport = {
      type: 'udp',
      address: { address: '127.0.0.1', port: 1, family: 'IPv4' },
      closed: false,
      onData: (_data: Buffer) => {},
      send: async (data: Buffer) => session.feed(data),
      close: async () => {},
    };
    const signatureHash = { hash: 4, signature: 3 } as const;
    const { certPem, keyPem } = await werift.createSelfSignedCertificate(signatureHash);
    const Socket = role === 'client' ? werift.DtlsClient : werift.DtlsServer;
    const socket = new Socket({
      transport: transport as never,
      cert: certPem,
      key: keyPem,
      signatureHash,
      srtpProfiles: [profile],
      extendedMasterSecret: true,
      certificateRequest: true,
    });
    freed.push(() => socket.close());
    return { socket, transport };
  }

  it.each([
    ['client', 'AES128_CM_HMAC_SHA1_80'],
    ['client', 'AEAD_AES_128_GCM'],
    ['server', 'AES128_CM_HMAC_SHA1_80'],
    ['server', 'AEAD_AES_128_GCM'],
  ] as const)('as a %s with %s: connects, and opens what the other sealed', async (role, profile) => {
    const number = NUMBERS[profile];
    const session = native.openDtls(native.makeCertificate(), role === 'client' ? 'server' : 'client');
    const { socket, transport } = await peer(role, number, session);
    let isConnected = false;
    socket.onConnect.subscribe(() => {
      isConnected = true;
    });
    const flush = () => {
      for (const datagram of taken(session)) transport.onData(Buffer.from(datagram));
    };
    if (socket instanceof werift.DtlsClient) socket.connect();
    else session.start();
    await runTimers([session], flush, () => isConnected && session.state === 'connected');
    expect(session.srtp().profile).toBe(profile);
    expect(session.peerFingerprint('sha-256')).toMatch(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);

    const key = socket.extractSessionKeys(16, number === 1 ? 14 : 12);
    const config = {
      keys: {
        localMasterKey: key.localKey,
        localMasterSalt: key.localSalt,
        remoteMasterKey: key.remoteKey,
        remoteMasterSalt: key.remoteSalt,
      },
      profile: number,
    };
    const [srtp, srtcp] = [new werift.SrtpSession(config), new werift.SrtcpSession(config)];
    const ours = session.srtp();
    for (let i = 65_400; i < 65_700; i++) {
      const header = new werift.RtpHeader({
        payloadType: 111,
        sequenceNumber: i & 0xffff,
        timestamp: i * 960,
        ssrc: 0x9abcdef0,
        version: 2,
      });
      const payload = Buffer.alloc(i % 200, i);
      const plain = Buffer.concat([header.serialize(header.serializeSize), payload]);
      const theirs = srtp.encrypt(payload, header);
      expect(ours.unprotectRtp(theirs, theirs.length)).toBe(plain.length);
      expect(theirs.subarray(0, plain.length)).toEqual(plain);

      const room = Buffer.concat([plain, Buffer.alloc(20)]);
      const length = ours.protectRtp(room, plain.length);
      expect(srtp.decrypt(Buffer.from(room.subarray(0, length)))).toEqual(plain);
    }
    for (let i = 0; i < 5; i++) {
      const report = Buffer.from('80c9000112345678', 'hex');
      const theirs = srtcp.encrypt(Buffer.from(report));
      expect(ours.unprotectRtcp(theirs, theirs.length)).toBe(report.length);
      expect(theirs.subarray(0, report.length)).toEqual(report);
      const room = Buffer.concat([report, Buffer.alloc(20)]);
      const length = ours.protectRtcp(room, report.length);
      expect(srtcp.decrypt(Buffer.from(room.subarray(0, length)))).toEqual(report);
    }
  });
});

describe('the openssl of the command line', () => {
  /** Names, and bytes of key and salt. */
  const PROFILES: Record<string, [SrtpProfile, number]> = {
    SRTP_AES128_CM_SHA1_80: ['AES128_CM_HMAC_SHA1_80', 60],
    SRTP_AEAD_AES_128_GCM: ['AEAD_AES_128_GCM', 56],
    SRTP_AEAD_AES_256_GCM: ['AEAD_AES_256_GCM', 88],
  };
  const CASES = (['client', 'server'] as const).flatMap((role) =>
    Object.keys(PROFILES).map((profile) => [role, profile] as const),
  );

  function openssl(args: readonly string[]) {
    const child: ChildProcess = spawn('openssl', args);
    freed.push(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (text) => {
        said += text;
      });
    return { said: () => said };
  }

  it.each(CASES)('as a %s with %s: both export the same keys', async (role, name) => {
    const [profile, bytes] = PROFILES[name] as [SrtpProfile, number];
    const { pem } = makeCertificate('localhost');
    const common = ['-dtls1_2', '-use_srtp', name, '-cert', pem, '-key', pem];
    const exporting = ['-keymatexport', 'EXTRACTOR-dtls_srtp', '-keymatexportlen', String(bytes)];
    const session = native.openDtls(native.makeCertificate(), role === 'client' ? 'server' : 'client');
    const socket = createSocket('udp4');
    freed.push(() => new Promise<void>((resolve) => socket.close(() => resolve())));
    let port = 0;
    socket.on('message', (datagram, from) => {
      port = from.port;
      session.feed(datagram);
    });
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const flush = () => {
      for (const datagram of taken(session)) socket.send(datagram, port, '127.0.0.1');
    };

    let output: () => string;
    if (role === 'client') {
      const { said } = openssl([
        's_client',
        ...common,
        ...exporting,
        '-connect',
        `127.0.0.1:${socket.address().port}`,
      ]);
      output = said;
    } else {
      const { said } = openssl([
        's_server',
        ...common,
        ...exporting,
        '-verify',
        '1',
        '-accept',
        '127.0.0.1:0',
      ]);
      output = said;
      while (!/ACCEPT 127\.0\.0\.1:\d+\n/.test(said())) await setTimeout(5);
      port = Number(/ACCEPT 127\.0\.0\.1:(\d+)/.exec(said())?.[1]);
      session.start();
    }
    const material = /Keying material: ([0-9A-F]+)\s/;
    await runTimers(
      [session],
      flush,
      () => session.state !== 'new' && session.state !== 'handshaking' && material.test(output()),
    );
    expect(session.failure).toBeUndefined();
    expect(session.srtp().profile).toBe(profile);
    const keys = Buffer.from(material.exec(output())?.[1] as string, 'hex');
    expect(keys).toHaveLength(bytes);
    const theirs = native.openSrtp(profile, keys, role);
    expectHeard(session.srtp(), theirs);
    expectHeard(theirs, session.srtp());
    session.close();
    flush();
  });

  it('without SRTP: fails, and says so', async () => {
    const session = native.openDtls(native.makeCertificate(), 'server');
    const { pem } = makeCertificate('localhost');
    const socket = createSocket('udp4');
    freed.push(() => new Promise<void>((resolve) => socket.close(() => resolve())));
    let port = 0;
    socket.on('message', (datagram, from) => {
      port = from.port;
      session.feed(datagram);
    });
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    openssl([
      's_client',
      '-dtls1_2',
      '-cert',
      pem,
      '-key',
      pem,
      '-connect',
      `127.0.0.1:${socket.address().port}`,
    ]);
    const flush = () => {
      for (const datagram of taken(session)) socket.send(datagram, port, '127.0.0.1');
    };
    await runTimers([session], flush, () => session.state === 'failed');
    expect(session.failure).toBe('the peer accepted no SRTP profile');
  });
});

it("leaves Node's own TLS alone, whatever fails in between", async () => {
  const { pem } = makeCertificate('localhost');
  const both = readFileSync(pem, 'utf8');
  const server = createServer({ cert: both, key: both }, (socket) => socket.pipe(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  freed.push(() => new Promise((resolve) => server.close(resolve)));
  const { port } = server.address() as { port: number };

  const ALERT = Uint8Array.from([21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40]);
  const forged = Uint8Array.from({ length: 60 }, (_, i) => (i === 0 ? 128 : i));
  const srtp = native.openSrtp('AEAD_AES_128_GCM', new Uint8Array(56), 'client');
  const certificate = native.makeCertificate();
  /** Fails: by a packet that is not authentic, by a flight that was changed, and last by an alert, after which no other call clears up. */
  const fail = () => {
    expect(srtp.unprotectRtp(Uint8Array.from(forged), 60)).toBe(-1);
    const [client, other, last] = (['client', 'server', 'client'] as const).map((role) =>
      native.openDtls(certificate, role),
    ) as [DtlsSession, DtlsSession, DtlsSession];
    client.start();
    exchange(client, other, (flight) =>
      flight.map((datagram) => Uint8Array.from(datagram, (byte, i) => (i > 40 ? byte ^ 1 : byte))),
    );
    last.start();
    last.feed(ALERT);
    expect(last.state).toBe('failed');
    for (const session of [client, other, last]) freed.push(() => session.close());
  };
  let echoed = 0;
  for (let i = 0; i < 20; i++) {
    fail();
    const socket: TLSSocket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    fail();
    await once(socket, 'secureConnect');
    for (let message = 0; message < 5; message++) {
      fail();
      socket.write('hello');
      fail();
      echoed += String((await once(socket, 'data'))[0]).length;
    }
    fail();
    socket.end();
    await once(socket, 'close');
  }
  expect(echoed).toBe(20 * 5 * 5);
});
