import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import wavefile from 'wavefile';
import WebSocket from 'ws';
import { AudioSource, type SimulatedPhone } from '../../src/simulator/index.js';
import { PUBLIC_URL } from '../support/caller.js';
import { hears } from '../support/control.js';
import { CONTROL_KEY, type FleetNode, startFleet } from '../support/fleet.js';
import { legUrl } from '../support/leg.js';
import { tone } from '../support/media.js';
import { describeOnRedis, RedisServer } from '../support/redis.js';
import { eventually, sleep } from '../support/time.js';

const SILENT = -45;
/** An echo is at -12 dB; hold music leaks softly into other frequencies. */
const NO_ECHO = -30;

/** A one-second tone as a WAV file. */
function wavOf(hz: number): Uint8Array {
  const wav = new wavefile.WaveFile();
  wav.fromScratch(1, 8_000, '16', tone(hz, 8_000, 8_000, 8_000) as unknown as number[]);
  return wav.toBuffer();
}

async function startPair(env: Record<string, string> = {}) {
  const redis = await RedisServer.start();
  const fleet = await startFleet(2, redis.url, env);
  const { nodes, proxy, twilio } = fleet;
  const phone = twilio.placeCall({
    webhookUrl: `${PUBLIC_URL}/twilio/voice`,
    from: '+15550001111',
    to: '+15552223333',
    audio: AudioSource.tone(1_000),
    record: true,
  });
  await phone.started;
  await eventually('the echo', () => hears(phone, 1_000, 300) > -20, 10_000);
  const holder = nodes.find(({ address }) => proxy.served(address).sockets > 0) as FleetNode;
  const other = nodes.find((node) => node !== holder) as FleetNode;
  const listed = (await (await holder.control('/v1/calls')).json()) as { calls: { callId: string }[] };
  const callId = listed.calls[0]?.callId as string;
  const ask = async (node: FleetNode, method: string, path: string, body?: object) => {
    const response = await node.control(`/v1/calls/${callId}/${path}`, {
      method,
      ...(body instanceof Uint8Array
        ? { body: body as unknown as string, headers: { 'content-type': 'audio/wav' } }
        : body && { body: JSON.stringify(body) }),
    });
    // biome-ignore lint/suspicious/noExplicitAny: tests check the body
    return { status: response.status, body: (await response.json()) as any };
  };
  return { ...fleet, phone, holder, other, callId, ask };
}

describeOnRedis('a call controlled in a fleet', () => {
  it('is controlled on the node that has it, whichever node is asked', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'trunkline-play-'));
    writeFileSync(join(directory, 'music.wav'), wavOf(600));
    const { phone, other, ask, callId } = await startPair({ PLAY_DIR: directory });
    try {
      expect(await ask(other, 'POST', 'mute')).toEqual({ status: 200, body: { muted: 'caller' } });
      await eventually('no echo', () => hears(phone, 1_000, 300) < SILENT);
      expect(await ask(other, 'POST', 'play', wavOf(800))).toMatchObject({
        status: 201,
        body: { durationMs: 1_000 },
      });
      await eventually('the play', () => hears(phone, 800, 300) > -20);
      expect(await ask(other, 'POST', 'hold', { file: 'music.wav' })).toMatchObject({ status: 200 });
      await eventually('the music', () => hears(phone, 600, 300) > -20);
      expect(await ask(other, 'POST', 'hold', { file: 'none.wav' })).toMatchObject({
        status: 404,
        body: { error: { code: 'GW_PLAY_FILE_UNKNOWN' } },
      });
      expect((await ask(other, 'POST', 'dtmf', { digits: '12' })).body).toEqual({ durationMs: 400 });
      expect((await ask(other, 'POST', 'clear')).status).toBe(200);
      expect(await ask(other, 'POST', 'mark', { name: '' })).toMatchObject({
        status: 400,
        body: { error: { code: 'GW_BAD_REQUEST' } },
      });
      await ask(other, 'DELETE', 'hold');
      await ask(other, 'DELETE', 'mute');
      await eventually('the echo again', () => hears(phone, 1_000, 300) > -20);
      expect(await ask(other, 'POST', 'transfer', { number: '+15557778888' })).toEqual({
        status: 200,
        body: { callId, to: 'number' },
      });
      expect(await phone.ended).toMatchObject({ dialled: ['+15557778888'], error: undefined });
      expect((await ask(other, 'POST', 'mute')).status).toBe(404);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('is between two nodes after its socket breaks, not ended, whichever node is asked', async () => {
    const { phone, holder, other, ask } = await startPair();
    await phone.drop();
    for (const node of [holder, other]) {
      const answer = { status: 0 };
      await eventually('the loss', async () => {
        Object.assign(answer, await ask(node, 'POST', 'mute'));
        return answer.status !== 200;
      });
      expect(answer).toMatchObject({ status: 409, body: { error: { code: 'GW_CALL_MOVING' } } });
    }
  });

  it('keeps hold, mute and room after a handover', async () => {
    const { phone, holder, other, ask, callId } = await startPair();
    const handOver = async (from: FleetNode) => {
      from.child.kill('SIGTERM');
      await from.exited;
      await eventually('the next stream', () => phone.streams.length === 2 && isOpen(phone), 10_000);
    };
    expect((await ask(holder, 'POST', 'transfer', { room: 'elsewhere' })).status).toBe(200);
    expect((await ask(holder, 'POST', 'hold')).status).toBe(200);
    expect((await ask(holder, 'POST', 'mute')).status).toBe(200);
    await handOver(holder);
    const begun = phone.heard().length;
    await eventually(
      'the notes',
      () => Math.max(...phone.heard().subarray(begun).map(Math.abs)) > 400,
      10_000,
    );
    expect(hears(phone, 1_000, 300)).toBeLessThan(NO_ECHO);
    expect(await phonesIn(other, 'elsewhere')).toEqual([callId]);
    expect(await ask(other, 'DELETE', 'hold')).toMatchObject({ status: 200 });
    await sleep(800);
    expect(hears(phone, 1_000, 500), 'still muted').toBeLessThan(NO_ECHO);
    expect(await ask(other, 'DELETE', 'mute')).toMatchObject({ status: 200 });
    await eventually('the echo', () => hears(phone, 1_000, 300) > -20, 10_000);
    await phone.hangUp();
  });
});

/** Phones in a node's local room. */
async function phonesIn(node: FleetNode, room: string): Promise<readonly string[]> {
  const headers = { authorization: `Bearer ${CONTROL_KEY}` };
  const socket = new WebSocket(legUrl(node.url, room, '?listen=1'), { headers });
  const [ready] = (await once(socket, 'message')) as [Buffer];
  socket.close();
  return (JSON.parse(String(ready)) as { phones: string[] }).phones;
}

const isOpen = ({ streams }: SimulatedPhone) => streams.at(-1)?.isOpen === true;
