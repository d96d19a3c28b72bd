// The floor: a uWebSockets.js server that answers each media message with its payload and does nothing else. No JSON is
// parsed, no audio processed, nothing allocated but the view of the message.

import { loadUws, UWS_PACKAGES } from '../../../dist/http/transport/uws/load.js';

const PAYLOAD = '"payload":"';
const SID = '"streamSid":"';
/** Longest message sent. */
const ROOM = 1024;

const { uws } = newestUws();
const { PORT, TLS_CERT_FILE, TLS_KEY_FILE } = process.env;
const app =
  TLS_CERT_FILE === undefined
    ? uws.App()
    : uws.SSLApp({ cert_file_name: TLS_CERT_FILE, key_file_name: TLS_KEY_FILE });

app.ws('/media', {
  maxPayloadLength: 64 * 1024,
  message(socket, message) {
    const bytes = Buffer.from(message);
    const data = socket.getUserData();
    if (data.answer === undefined) return begin(data, bytes);
    const at = bytes.indexOf(PAYLOAD);
    if (at < 0) return;
    const from = at + PAYLOAD.length;
    const end = bytes.indexOf(0x22, from) - from + data.head;
    bytes.copy(data.answer, data.head, from);
    data.answer.write('"}}', end, 'latin1');
    socket.send(data.answer.subarray(0, end + 3), false);
  },
});
app.listen('127.0.0.1', Number(PORT), (socket) => {
  if (!socket) process.exit(1);
});

/** Prepares the answer with the first message that names the stream. */
function begin(data, bytes) {
  const at = bytes.indexOf(SID);
  if (at < 0) return;
  const from = at + SID.length;
  const streamSid = bytes.toString('latin1', from, bytes.indexOf(0x22, from));
  data.answer = Buffer.alloc(ROOM);
  data.head = data.answer.write(`{"event":"media","streamSid":"${streamSid}","media":{"payload":"`, 'latin1');
}

/** The one that Trunkline would take here. */
function newestUws() {
  for (const name of UWS_PACKAGES) {
    try {
      return loadUws(name);
    } catch {
      // It has no binary for this Node: try the next.
    }
  }
  throw new Error('no uWebSockets.js loads here');
}
