import type { Check } from './check.js';

/** Which native core would process audio. */
export const nativeCore: Check = {
  name: 'native core',
  async run() {
    try {
      // Loaded here: every other check works without a core.
      const { core } = await import('../media/thread-core.js');
      const says = `Audio runs on the ${core.backend} core, ${core.kernels}: ${core.origin}`;
      // A better core failed to load: this one is not a choice.
      return core.origin.includes('; ')
        ? {
            mark: 'warn',
            says,
            set: 'npm run prepare in a checkout of Trunkline on such a system, with a C++17 compiler, make and Python 3',
          }
        : { mark: 'ok', says };
    } catch (error) {
      return {
        mark: 'fail',
        says: `No core loads: ${(error as Error).message.replaceAll('\n', ' ')}`,
        set: 'TRANSCODER=auto, which runs on WebAssembly where nothing else does',
      };
    }
  },
};
