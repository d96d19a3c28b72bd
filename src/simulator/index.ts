/**
 * Twilio's side of the wire, for tests, demonstrations and load against any Media Streams server.
 * @packageDocumentation
 */

export { type Alignment, type AlignmentOptions, align } from './alignment.js';
export { AudioSource, FRAME_BYTES, FRAME_MS } from './audio.js';
export { type InboundCallOptions, SimulatedTwilio, type SimulatedTwilioOptions } from './carrier.js';
export { PhoneClock, type Ticker } from './clock.js';
export type { DelayReport, DelaySample, DelayTrack } from './delay-track.js';
export type { DialMapping } from './dial.js';
export type { LeftOut } from './echo-pairs.js';
export { TWILIO_ERRORS, type TwilioErrorCode, twilioCodeOf } from './errors.js';
export type { GeneratorReport } from './generator-meter.js';
export { type HandoverReport, HandoverTotals, handoversOf, type StreamHandover } from './handover.js';
export { Histogram, type Percentiles } from './histogram.js';
export { newSid } from './identifiers.js';
export type { ProtocolWarning, WarningCode, WarningCounts } from './inbox.js';
export { LINES, type LineName, type LineProfile } from './line.js';
export {
  type LoadOptions,
  type LoadProgress,
  type LoadReport,
  type LoadSample,
  runLoad,
  type ScriptReport,
} from './load.js';
export { describeStep, type LoadStep, parseLoadSteps, secondsOf } from './load-steps.js';
export {
  type AudioProof,
  type MergedReport,
  mergeReports,
  type Pairing,
  type StreamReport,
} from './measurement.js';
export { type HeardMoment, MouthToEar, type MouthToEarOptions } from './mouth-to-ear.js';
export { decodeMulaw, encodeMulaw, MULAW_SILENCE } from './mulaw.js';
export type { Callee } from './outbound-call.js';
export { type CallOutcome, type PhoneFaults, type PhoneOptions, SimulatedPhone } from './phone.js';
export { PlayoutBuffer, type PlayoutBufferOptions, type PlayoutCounts } from './playout.js';
export type { NumberFacts } from './resources.js';
export { type Deed, parseScript, readScript, type Script, type ScriptStep } from './script.js';
export { ScriptedCaller, type ScriptOutcome } from './scripted-caller.js';
export { SimulatedStream, type SimulatedStreamEnd, type StreamFaults, type StreamOptions } from './stream.js';
export { type HeardInstant, InstantReader, SWEEP_MS } from './sweep.js';
export { parseTwiml, type StreamVerb, twimlOf, type Verb } from './twiml.js';
export { type Utterance, Voice } from './voice.js';
export { PHONE_RATE, readWav, writeWav } from './wav.js';
export {
  type CallDirection,
  type CallStatus,
  type StreamEvent,
  sendWebhook,
  signatureOf,
  statusParameters,
  streamStatusParameters,
  type WebhookAnswer,
  type WebhookCall,
  type WebhookOptions,
  webhookParameters,
} from './webhook.js';
