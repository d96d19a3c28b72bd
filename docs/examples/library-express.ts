/** An Express server of your own that takes Twilio's calls: it plays the caller back, and answers keys. */
import { createServer } from 'node:http';
import express, { type ErrorRequestHandler } from 'express';
import {
  CallWebhookInput,
  createMediaStreamTwiml,
  fromWs,
  GatewayError,
  verifyTwilioRequest,
} from 'trunkline';
import { WebSocketServer } from 'ws';

const publicUrl = process.env.PUBLIC_URL ?? 'http://127.0.0.1:3000';
const app = express();
const phones = express.Router();

phones.post('/voice', async (request, response) => {
  const call = await CallWebhookInput.from(request);
  verifyTwilioRequest(request, { publicUrl, parameters: call.parameters });
  console.log(`call ${call.callSid} from ${call.from}`);
  const media = `${publicUrl.replace(/^http/, 'ws')}/phones/media`;
  response.type('text/xml').send(createMediaStreamTwiml(media));
});

const refuse: ErrorRequestHandler = (error, _request, response, next) => {
  if (error instanceof GatewayError) response.status(error.status).json({ error: error.message });
  else next(error);
};
app.use('/phones', phones, refuse);

const sockets = new WebSocketServer({ noServer: true, maxPayload: 256 * 1024 });
const server = createServer(app);
server.on('upgrade', (request, socket, head) => {
  socket.on('error', () => {}); // one that has gone must not end the process
  try {
    if (request.url !== '/phones/media') throw new Error('no such socket');
    verifyTwilioRequest(request, { publicUrl });
  } catch {
    socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n');
    return;
  }
  sockets.handleUpgrade(request, socket, head, (accepted) => {
    const stream = fromWs(accepted);
    stream.on('audio', (samples) => stream.sendAudio(samples));
    stream.on('dtmf', (digit) => (digit === '#' ? stream.clear() : stream.mark(`key ${digit}`)));
    stream.on('mark', ({ name, playedMs }) => console.log(`${name} after ${playedMs} ms`));
    stream.on('end', (end) => console.log(`the stream ended: ${end}`));
  });
});

server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => console.log('ready'));
