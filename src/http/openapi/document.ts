import { VERSION } from '../../version.js';
import { componentsWith } from './operation.js';
import { paths, webhooks } from './paths.js';
import * as schemas from './schemas.js';

/** The requests and answers of `/v1`, as OpenAPI 3.1. Source: spec.openapis.org/oas/v3.1.1. */
export const openApiDocument = {
  openapi: '3.1.1',
  info: {
    title: 'Trunkline control API',
    version: VERSION,
    description:
      'Controls the calls of a phone-audio gateway. Without CONTROL_API_KEY the API is off and everything answers 404. Fields may be added within v1; ignore those you do not know.',
    license: { name: 'MIT', identifier: 'MIT' },
  },
  servers: [{ url: '/', description: 'The gateway itself; keep it off the internet' }],
  security: [{ controlKey: [] }],
  tags: [
    { name: 'calls', description: 'Placing, inspecting and ending calls' },
    { name: 'control', description: 'Operations on running calls' },
    { name: 'recordings', description: 'WAV files of calls' },
    { name: 'events', description: 'What happens to calls' },
    { name: 'rooms', description: 'Programs in local rooms' },
    { name: 'description', description: 'The description of this API' },
  ],
  paths,
  webhooks,
  components: {
    schemas: componentsWith(Object.values(schemas)),
    securitySchemes: {
      controlKey: { type: 'http', scheme: 'bearer', description: 'CONTROL_API_KEY' },
    },
  },
} as const;
