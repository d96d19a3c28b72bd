/** A gateway inside a Fastify server of your own: it answers below `/phones`, and the rest is yours. */
import Fastify from 'fastify';
import { createGateway, readConfig } from 'trunkline';

const publicUrl = `${process.env.PUBLIC_URL ?? 'http://127.0.0.1:3000'}/phones`;
const app = Fastify();
app.get('/', async () => 'my own page');

const gateway = createGateway({ ...readConfig(), publicUrl, prepareCall: () => ({ bridge: false }) });
gateway.on('call', (call, stream) => {
  console.log(`call ${call.callSid} from ${call.from}`);
  stream.on('audio', (samples) => stream.sendAudio(samples));
  stream.on('dtmf', (digit) => (digit === '#' ? stream.clear() : stream.mark(`key ${digit}`)));
  stream.on('mark', ({ name, playedMs }) => console.log(`${name} after ${playedMs} ms`));
  stream.on('end', (end) => console.log(`the stream ended: ${end}`));
});

await gateway.attach(app.server, { prefix: '/phones' });
await app.listen({ port: Number(process.env.PORT ?? 3000), host: '127.0.0.1' });
console.log('ready');
