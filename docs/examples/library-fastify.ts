/** A Fastify server of your own that takes Twilio's calls: it plays the caller back, and answers keys. */
import websocket from '@fastify/websocket';
import Fastify from 'fastify';
import { CallWebhookInput, createMediaStreamTwiml, fromWs, verifyTwilioRequest } from 'trunkline';

const publicUrl = process.env.PUBLIC_URL ?? 'http://127.0.0.1:3000';
const app = Fastify();
await app.register(websocket, { options: { maxPayload: 256 * 1024 } });

// The form is left as it is: CallWebhookInput reads it, within bounds.
app.addContentTypeParser('application/x-www-form-urlencoded', (_request, _body, done) => done(null));

await app.register(
  async (phones) => {
    phones.post('/voice', async (request, reply) => {
      const call = await CallWebhookInput.from(request);
      verifyTwilioRequest(request, { publicUrl, parameters: call.parameters });
      console.log(`call ${call.callSid} from ${call.from}`);
      const media = `${publicUrl.replace(/^http/, 'ws')}/phones/media`;
      return reply.type('text/xml').send(createMediaStreamTwiml(media));
    });

    phones.get(
      '/media',
      { websocket: true, preValidation: async (request) => verifyTwilioRequest(request, { publicUrl }) },
      (socket) => {
        const stream = fromWs(socket);
        stream.on('audio', (samples) => stream.sendAudio(samples));
        stream.on('dtmf', (digit) => (digit === '#' ? stream.clear() : stream.mark(`key ${digit}`)));
        stream.on('mark', ({ name, playedMs }) => console.log(`${name} after ${playedMs} ms`));
        stream.on('end', (end) => console.log(`the stream ended: ${end}`));
      },
    );
  },
  { prefix: '/phones' },
);

await app.listen({ port: Number(process.env.PORT ?? 3000), host: '127.0.0.1' });
console.log('ready');
