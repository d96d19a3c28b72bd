import { GatewayError } from '../errors.js';
import type { Check } from './check.js';

const TOKEN_SECONDS = 60;

/** Whether Stream accepts the keys. */
export const streamKeys: Check = {
  name: 'Stream keys',
  async run({ config: { stream }, clock }) {
    if (stream === undefined)
      return { mark: 'skip', says: 'Calls are bridged to local rooms: no keys needed' };
    // Loaded here: the SDK is large, and few installations have keys.
    const { Administration } = await import('../bridge/stream/administration.js');
    const { apiKey, apiSecret, baseUrl } = stream;
    try {
      await new Administration({
        apiKey,
        apiSecret,
        baseUrl,
        tokenSeconds: TOKEN_SECONDS,
        clock,
      }).open();
      return { mark: 'ok', says: 'Stream accepts the keys' };
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      if (error.code === 'GW_STREAM_MISSING') {
        const [says = '', install = ''] = error.message.split(': ');
        return { mark: 'fail', says, set: `${install}, or BRIDGE=local` };
      }
      return error.code === 'GW_STREAM_KEYS'
        ? {
            mark: 'fail',
            says: 'Stream rejects STREAM_API_KEY with STREAM_API_SECRET',
            set: 'both from the same app in Stream’s dashboard, and the clock right',
          }
        : {
            mark: 'fail',
            says: `Stream cannot be used: ${error.message}`,
            set: `${baseUrl === undefined ? 'network access to Stream' : 'STREAM_BASE_URL'}, or BRIDGE=local`,
          };
    }
  },
};
