import { tmpdir } from 'node:os';
import { it } from 'vitest';
import { startGateway } from '../support/gateway.js';
import { SECRET } from '../support/receiver.js';
it('x', async () => {
  const { url } = await startGateway({
    router: { url: 'http://127.0.0.1:9', secret: SECRET },
    eventWebhooks: { url: 'http://127.0.0.1:9', secret: SECRET, spoolDir: '/tmp/h/spoolx' },
    controlApiKey: 'x'.repeat(20),
    recordDir: tmpdir(),
  });
  const text = await (await fetch(`${url}/metrics`)).text();
  console.log(text.split('\n').filter((l) => l.startsWith('# ')).join('\n'));
});
