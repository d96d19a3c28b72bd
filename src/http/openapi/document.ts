import { VERSION } from '../../version.js';
import { paths, webhooks } from './paths.js';
import { schemas } from './schemas.js';

/** What `/v1` takes and answers, as OpenAPI 3.1. Source: spec.openapis.org/oas/v3.1.1. */
export const openApiDocument = {
  openapi: '3.1.1',
  info: {
    title: 'Trunkline control API',
    version: VERSION,
    description:
      'Calls of a phone-audio gateway. Without CONTROL_API_KEY there is no such API: everything answers 404. Fields may be added within v1; ignore those you do not know.',
    license: { name: 'MIT', identifier: 'MIT' },
  },
  servers: [{ url: '/', description: 'The gateway itself; keep it off the internet' }],
  security: [{ controlKey: [] }],
  tags: [
    { name: 'calls', description: 'Placing, looking at and ending calls' },
    { name: 'control', description: 'What is asked of running calls' },
    { name: 'recordings', description: 'WAV files of calls' },
    { name: 'events', description: 'What happens' },
    { name: 'rooms', description: 'Programs in local rooms' },
    { name: 'description', description: 'Of this API' },
  ],
  paths,
  webhooks,
  components: {
    schemas,
    securitySchemes: {
      controlKey: { type: 'http', scheme: 'bearer', description: 'CONTROL_API_KEY' },
    },
  },
} as const;
