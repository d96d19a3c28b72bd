export type { RealtimeFaults } from './openai/faults.js';
export type { Reply, Turn } from './openai/mind.js';
export type { ItemRecord, RealtimeSession, ReceivedEvent } from './openai/session.js';
export type { Utterance as SpokenUtterance } from './openai/speech.js';
export { SimulatedRealtime, type SimulatedRealtimeOptions } from './openai-realtime.js';
export { type FoundPhrase, type HeardPhrase, phrasesIn, speak, textOf } from './phrases.js';
export {
  FILLER,
  GREETING,
  KEY_PRESSED,
  type KnowledgePage,
  QUESTIONS,
  SENTENCES,
  type Sentence,
  SOURCES,
  UNKNOWN,
} from './sentences.js';
