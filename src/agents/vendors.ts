import type { LegRate } from '../legs/leg-rate.js';
import type { AgentHandler } from './agent-call.js';
import { type ModelOptions, RATES } from './model.js';

/** A vendor whose models answer calls. */
interface Vendor {
  /** Name of the setting with its key. */
  readonly keySetting: string;
  /** Rates of what a model hears and says. @param wanted by the decision, if it says */
  rates(wanted: LegRate | undefined): { readonly rate: LegRate; readonly sendRate: LegRate };
  /** Loaded only for calls that need it. */
  load(): Promise<(options: ModelOptions) => AgentHandler>;
}

const WIDEBAND = { rate: 24_000, sendRate: 24_000 } as const;

/** Vendors by their names before the colon: `openai:gpt-realtime`. */
export const VENDORS = {
  openai: {
    keySetting: 'OPENAI_API_KEY',
    rates: (wanted = 8_000) => (wanted === 8_000 ? RATES.openai : WIDEBAND),
    load: async () => (await import('./openai.js')).openaiAgent,
  },
  gemini: {
    keySetting: 'GEMINI_API_KEY',
    rates: () => RATES.gemini,
    load: async () => (await import('./gemini.js')).geminiAgent,
  },
} as const satisfies Readonly<Record<string, Vendor>>;

export type VendorName = keyof typeof VENDORS;

export function isVendor(name: string): name is VendorName {
  return Object.hasOwn(VENDORS, name);
}
