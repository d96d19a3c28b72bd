import { once } from 'node:events';
import { createConnection } from 'node:net';
import { describe, expect, it } from 'vitest';
import type { TwilioMediaStream } from '../../src/index.js';
import { core } from '../../src/media/thread-core.js';
import { Caller, localUrl, postForm, sign, streamUrl, voiceParameters } from '../support/caller.js';
import { startGateway } from '../support/gateway.js';
import { eventually, sleep, virtualTime } from '../support/time.js';
import { toneMulaw } from '../support/tone.js';

virtualTime();

const FRAME = toneMulaw(700, 20);

describe('a bad message is counted and dropped, and the call continues', () => {
  const bad: [name: string, send: (caller: Caller) => void][] = [
    ['malformed JSON', (caller) => caller.socket.send('{"event":"media",')],
    ['JSON of another kind', (caller) => caller.socket.send('[1,2]')],
    ['an unknown event', (caller) => caller.json({ event: 'nonsense', streamSid: caller.streamSid })],
    ['a binary frame', (caller) => caller.socket.send(Buffer.from([1, 2, 3]))],
    ['an empty text', (caller) => caller.socket.send('')],
    [
      'bad base64',
      (caller) =>
        caller.json({
          event: 'media',
          streamSid: caller.streamSid,
          media: { track: 'inbound', timestamp: '5', payload: '*%&!' },
        }),
    ],
    [
      'base64 with a character too many',
      (caller) =>
        caller.json({
          event: 'media',
          streamSid: caller.streamSid,
          media: { track: 'inbound', timestamp: '5', payload: 'AAAAA' },
        }),
    ],
    [
      'a payload that is no text',
      (caller) => caller.json({ event: 'media', streamSid: caller.streamSid, media: { payload: 7 } }),
    ],
    ['another streamSid', (caller) => caller.media(FRAME, { streamSid: 'MZanother' })],
    ['a second start', (caller) => caller.start()],
    [
      'an echo of a mark never sent',
      (caller) => caller.json({ event: 'mark', streamSid: caller.streamSid, mark: { name: 'x' } }),
    ],
    [
      'a key that is no key',
      (caller) => caller.json({ event: 'dtmf', streamSid: caller.streamSid, dtmf: { digit: 'Z' } }),
    ],
  ];

  it.each(bad)('%s', async (_name, send) => {
    const { url, gateway } = await startGateway();
    const caller = await Caller.call(url);
    caller.media(FRAME);
    await eventually('the first frame', () => caller.mediaCount === 1);
    send(caller);
    caller.media(FRAME, { timestamp: 20 });
    await eventually('the frame after it', () => caller.mediaCount === 2);
    expect(gateway.stats().traffic).toMatchObject({ badMessages: 1, framesIn: 2, framesOut: 2, filledMs: 0 });
    expect(caller.closed).toBeUndefined();
    caller.hangUp();
  });
});

describe('payloads of unusual length', () => {
  it.each([0, 1, 7, 159, 161, 320, 8_000])('%i bytes', async (length) => {
    const { url, gateway } = await startGateway({ leadMs: 5_000 });
    const caller = await Caller.call(url);
    caller.media(toneMulaw(600, 1_000).subarray(0, length));
    // The rest of a frame is heard with the next audio.
    const rest = (160 - (length % 160)) % 160;
    caller.media(toneMulaw(600, 20).subarray(0, rest), { timestamp: length / 8 });
    await eventually('whole frames back', () => caller.heard.length === length + rest);
    expect(gateway.stats().traffic.badMessages).toBe(0);
    caller.hangUp();
  });

  it('8,000 bytes at the usual lead: the newest 120 ms are heard', async () => {
    const { url, gateway } = await startGateway();
    const caller = await Caller.call(url);
    // Audio right after the start would count as first words, which are kept.
    await sleep(20);
    caller.media(toneMulaw(600, 1_000));
    await eventually('120 ms back', () => caller.mediaCount === 6);
    expect(gateway.stats().traffic.droppedIntake).toBe(44);
    caller.hangUp();
  });
});

describe('unusual but valid messages', () => {
  it('take the slow path and keep their audio', async () => {
    const { url, gateway } = await startGateway({ prepareCall: (call) => ({ room: call.callId }) });
    const [plain, odd] = await Promise.all([Caller.call(url), Caller.call(url)]);
    for (let i = 0; i < 5; i++) {
      const audio = toneMulaw(900, 100).subarray(i * 160, (i + 1) * 160);
      plain?.media(audio);
      // Other key order, spaces, an escape, an unknown field.
      odd?.socket.send(
        `{ "streamSid": "${odd.streamSid}", "media": { "payload": "${Buffer.from(audio).toString('base64').replaceAll('/', '\\/')}", "extra": 1, "timestamp": "${i * 20}", "chunk": "1" }, "event": "media" }`,
      );
    }
    await eventually('both to hear it', () => plain?.mediaCount === 5 && odd?.mediaCount === 5);
    expect(odd?.heard).toEqual(plain?.heard);
    expect(gateway.stats().traffic).toMatchObject({ slowMessages: 5, badMessages: 0 });
    for (const caller of [plain, odd]) caller?.hangUp();
  });

  it('of the outbound track are ignored', async () => {
    const { url, gateway } = await startGateway();
    const caller = await Caller.call(url);
    caller.json({
      event: 'media',
      streamSid: caller.streamSid,
      media: { track: 'outbound', payload: 'AAAA', timestamp: '0' },
    });
    caller.media(FRAME);
    await eventually('one frame', () => caller.mediaCount === 1);
    expect(gateway.stats().traffic).toMatchObject({ framesIn: 1, badMessages: 0, otherTracks: 1 });
    caller.hangUp();
  });

  it('with a jump in time are filled with silence', async () => {
    const { url, gateway } = await startGateway({ leadMs: 1_000 });
    const caller = await Caller.call(url);
    caller.media(FRAME, { timestamp: 0 });
    caller.media(FRAME, { timestamp: 80 });
    await eventually('60 ms of silence between', () => caller.mediaCount === 5);
    expect(gateway.stats().traffic.filledMs).toBe(60);
    caller.hangUp();
  });
});

describe('a protocol error closes the socket', () => {
  it.each([
    ['media before start', 1008, (caller: Caller) => caller.media(FRAME)],
    ['a start of another call', 1008, (caller: Caller) => caller.start({ callSid: 'CAother' })],
    ['a start of another account', 1008, (caller: Caller) => caller.start({ accountSid: 'ACother' })],
    ['64 KiB and a byte', 1009, (caller: Caller) => caller.socket.send('x'.repeat(65_537))],
    [
      'a flood',
      1008,
      (caller: Caller) => {
        caller.start();
        for (let i = 0; i < 2_000; i++) caller.media(FRAME);
      },
    ],
  ] as const)('%s', async (_name, code, misbehave) => {
    const { url, gateway } = await startGateway();
    const other = await Caller.call(url);
    const caller = await Caller.connect(url);
    misbehave(caller);
    await eventually('the close', () => caller.closed !== undefined);
    expect(caller.closed?.code).toBe(code);
    other.media(FRAME);
    await eventually('the other call to be undisturbed', () => other.mediaCount === 1);
    expect(gateway.stats().activeCalls).toBe(1);
    expect(core.liveTranscoders()).toBe(1);
    other.hangUp();
  });

  it('a message of 64 KiB is accepted', async () => {
    const { url, gateway } = await startGateway();
    const caller = await Caller.call(url);
    caller.socket.send('x'.repeat(65_536));
    caller.media(FRAME);
    await eventually('the next frame', () => caller.mediaCount === 1);
    expect(gateway.stats().traffic.badMessages).toBe(1);
    caller.hangUp();
  });
});

describe('a peer that never reads', () => {
  it('has its oldest audio dropped, keeps its control messages, and gets the newest audio when it reads again', async () => {
    const { mute, stream, read } = await muteCall();
    while (stream.hasRoom) stream.media.clear();
    for (let i = 1; i <= 20; i++) stream.media.sendAudio(new Int16Array(960).fill(i * 1_000));
    expect(stream.media.counts()).toMatchObject({ framesOut: 0, droppedBackpressure: 8 });
    const text = await read(() => stream.media.counts().framesOut === 6);
    expect(stream.media.counts().droppedLead).toBe(6);
    expect(text.match(/"event":"clear"/g)?.length).toBe(stream.clears);
    expect(text.match(/"event":"media"/g)?.length).toBe(6);
    mute.destroy();
  });

  it('is dropped before it costs more than a megabyte, and other calls do not notice', async () => {
    const { url, gateway, stream } = await muteCall();
    const other = await Caller.call(url);
    await eventually('the other to be live', () =>
      gateway.calls.listActive().every((call) => call.state === 'live'),
    );
    // Kernel buffers hold some megabytes first.
    let most = 0;
    for (let i = 0; i < 400_000 && stream.media.isConnected; i++) {
      stream.media.clear();
      most = Math.max(most, stream.unsentBytes);
      if (i % 1_000 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually('the cut', () => !stream.media.isConnected);
    expect(most).toBeGreaterThan(900 * 1024);
    // One message over the limit.
    expect(most).toBeLessThan(1024 * 1024 + 1_024);
    other.media(FRAME);
    await eventually('the other to be heard', () => other.mediaCount === 1);
    other.hangUp();
    await eventually('both calls to end', () => gateway.calls.size === 0);
  });

  /** A live call whose peer has stopped reading. */
  async function muteCall() {
    const { url, gateway } = await startGateway();
    const known = new Promise<TwilioMediaStream>((resolve) =>
      gateway.once('call', (_call, media) => resolve(media)),
    );
    const parameters = voiceParameters();
    const publicUrl = streamUrl(await (await postForm(url, '/twilio/voice', parameters)).text());
    const media = await known;
    const target = new URL(localUrl(url, publicUrl));
    const mute = createConnection(Number(target.port), target.hostname);
    mute.on('error', () => {});
    mute.write(
      `GET ${target.pathname} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nX-Twilio-Signature: ${sign(publicUrl)}\r\n\r\n`,
    );
    await once(mute, 'data');
    mute.pause();
    const start = { streamSid: 'MZmute', accountSid: parameters.AccountSid, callSid: parameters.CallSid };
    mute.write(textFrame(JSON.stringify({ event: 'start', streamSid: 'MZmute', start })));
    await eventually('start', () => media.isConnected);
    const stream = {
      media,
      clears: 0,
      /** Bytes that the kernel has not accepted. */
      get unsentBytes() {
        // biome-ignore lint/complexity/useLiteralKeys: only the inside knows
        return media['sender']['socket']?.bufferedBytes() ?? 0;
      },
      /** Sends a clear at every check, until the socket is full. */
      get hasRoom() {
        // biome-ignore lint/complexity/useLiteralKeys: only the inside knows
        const room = media['sender'].isWritable();
        if (room) this.clears += 1;
        return room;
      },
    };
    const read = async (done: () => boolean) => {
      const chunks: Buffer[] = [];
      mute.on('data', (chunk) => chunks.push(chunk)).resume();
      await eventually('all to be sent', done);
      await sleep(100);
      return Buffer.concat(chunks).toString('latin1');
    };
    return { url, gateway, mute, stream, read };
  }

  /** A masked text frame; the mask is zero. */
  function textFrame(text: string): Buffer {
    const header = Buffer.from([0x81, 0x80 | 126, text.length >> 8, text.length & 255, 0, 0, 0, 0]);
    return Buffer.concat([header, Buffer.from(text)]);
  }
});
