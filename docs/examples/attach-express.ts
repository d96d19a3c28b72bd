/** A gateway inside an Express server of your own: it answers below `/phones`, and the rest is yours. */
import { createServer } from 'node:http';
import express from 'express';
import { createGateway, readConfig } from 'trunkline';

const publicUrl = `${process.env.PUBLIC_URL ?? 'http://127.0.0.1:3000'}/phones`;
const app = express();
app.get('/', (_request, response) => response.send('my own page'));

const gateway = createGateway({ ...readConfig(), publicUrl, prepareCall: () => ({ bridge: false }) });
gateway.on('call', (call, stream) => {
  console.log(`call ${call.callSid} from ${call.from}`);
  stream.on('audio', (samples) => stream.sendAudio(samples));
  stream.on('dtmf', (digit) => (digit === '#' ? stream.clear() : stream.mark(`key ${digit}`)));
  stream.on('mark', ({ name, playedMs }) => console.log(`${name} after ${playedMs} ms`));
  stream.on('end', (end) => console.log(`the stream ended: ${end}`));
});

const server = createServer(app);
await gateway.attach(server, { prefix: '/phones' });
server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => console.log('ready'));
