// What a Node developer writes first: ws, JSON.parse, Buffer, a lookup table, and npm's speex-resampler at the quality of
// the first argument.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import speex from 'speex-resampler';
import { WebSocketServer } from 'ws';
import { mulawToPcm, pcmToMulaw } from '../../../dist/index.js';

const { default: SpeexResampler } = speex;
await SpeexResampler.initPromise;
const quality = Number(process.argv[2]);

const DECODED = mulawToPcm(Uint8Array.from({ length: 256 }, (_, i) => i));
const ENCODED = pcmToMulaw(Int16Array.from({ length: 65_536 }, (_, i) => i - 32_768));

const { PORT, TLS_CERT_FILE, TLS_KEY_FILE } = process.env;
const server =
  TLS_CERT_FILE === undefined
    ? createServer()
    : createTlsServer({ cert: readFileSync(TLS_CERT_FILE), key: readFileSync(TLS_KEY_FILE) });

new WebSocketServer({ server, path: '/media' }).on('connection', (socket) => {
  const up = new SpeexResampler(1, 8_000, 48_000, quality);
  const down = new SpeexResampler(1, 48_000, 8_000, quality);
  let streamSid;
  socket.on('message', (data) => {
    const message = JSON.parse(data);
    if (message.event === 'start') streamSid = message.streamSid;
    if (message.event !== 'media') return;
    const pcm = up.processChunk(decode(Buffer.from(message.media.payload, 'base64')));
    const payload = encode(down.processChunk(pcm)).toString('base64');
    socket.send(JSON.stringify({ event: 'media', streamSid, media: { payload } }));
  });
});
server.listen(Number(PORT), '127.0.0.1');

function decode(mulaw) {
  const samples = new Int16Array(mulaw.length);
  for (let i = 0; i < mulaw.length; i++) samples[i] = DECODED[mulaw[i]];
  return Buffer.from(samples.buffer);
}

function encode(pcm) {
  const samples = new Int16Array(pcm.buffer, pcm.byteOffset, pcm.length / 2);
  const mulaw = Buffer.allocUnsafe(samples.length);
  for (let i = 0; i < samples.length; i++) mulaw[i] = ENCODED[samples[i] + 32_768];
  return mulaw;
}
