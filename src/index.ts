export type {
  AnsweredFacts,
  Bridge,
  BridgeLeg,
  BridgeUser,
  JoinRequest,
  MarkPlace,
  PhoneLine,
  Program,
  ProgramLeg,
} from './bridge/bridge.js';
export { LocalBridge } from './bridge/local/bridge.js';
export {
  type AttachedPhone,
  type AttachOptions,
  attachPhoneToCall,
  type PhoneStream,
  type StreamCall,
} from './bridge/stream/attach.js';
export { StreamBridge, type StreamBridgeOptions, type StreamBridgeStats } from './bridge/stream/bridge.js';
export type { MediaWorkerState } from './bridge/stream/worker-pool.js';
export { type CallState, type EndCause, TwilioCall } from './calls/call.js';
export { TwilioCallRegistry, TwilioCallRegistry as CallRegistry } from './calls/registry.js';
export type { CallResult } from './calls/result.js';
export { Clock, type Patience, systemClock, type Timer } from './clock.js';
export { type Config, readConfig } from './config.js';
export { GatewayError } from './errors.js';
export type { EventCall, EventData, EventType, GatewayEvent } from './events/event.js';
export type { EventLog } from './events/event-log.js';
export type { EventWebhookOptions } from './events/event-webhooks.js';
export { createGateway, Gateway, type GatewayOptions, type GatewayStats } from './gateway.js';
export { FRAME_MS, FRAME_SAMPLES, type FrameSink, SAMPLE_RATE } from './media/frame.js';
export { alawToPcm, mulawToPcm, pcmToAlaw, pcmToMulaw, TWILIO_SAMPLE_RATE } from './media/g711.js';
export type { MarkEcho } from './media/marks.js';
export { createResampler, type RateConverter, RESAMPLER_RATES } from './media/rate-converter.js';
export {
  createTranscoder,
  type PayloadFormat,
  type Transcoder,
  type TranscoderOptions,
} from './media/transcoder.js';
export type { RouterOptions } from './router/call-router.js';
export type { RouterQuestion } from './router/question.js';
export type { CallReport } from './server/call-report.js';
export type { PlacedCall } from './server/call-service.js';
export type { PlayEnd, PlayResult } from './server/control/call-audio.js';
export type { Controls, PlayStarted, Transferred } from './server/control/controls.js';
export type {
  DtmfRequest,
  HoldRequest,
  MuteRequest,
  PlayRequest,
  TransferRequest,
} from './server/control/requests.js';
export type { CallDecision, PhoneCall, PrepareCallHook } from './server/decision.js';
export type { Handover } from './server/fleet/fleet.js';
export { fromWs, type WsData, type WsSocket } from './server/from-ws.js';
export type { MediaSocket } from './server/media-socket.js';
export {
  type MediaStreamOptions,
  type StreamEnd,
  type StreamStart,
  TwilioMediaStream,
  TwilioMediaStream as MediaStream,
} from './server/media-stream.js';
export type { OwnRoute, OwnRoutes } from './server/own-routes.js';
export type { PlaceCallRequest } from './server/place-call.js';
export type { RecordingEnd, RecordingResult } from './server/recording/recording.js';
export type { RecordingView, RecordRequest } from './server/recording/recordings.js';
export type { ServerChoice } from './server/transport/servers.js';
export type { LatencySummary } from './telemetry/histogram.js';
export type { LatencySummaries } from './telemetry/latencies.js';
export type { TrafficCounts } from './telemetry/traffic.js';
export type { FormParameters, ParsedForm, ParsedRequest, WebhookRequest } from './twilio/form.js';
export { type SignedRequest, TwilioSignatureVerifier, verifyTwilioSignature } from './twilio/signature.js';
export {
  type NodeRequestHead,
  type SignedRequestOptions,
  verifyTwilioRequest,
} from './twilio/signed-request.js';
export {
  createMediaStreamResponse,
  createMediaStreamTwiml,
  createRefusalTwiml,
  type MediaStreamTwimlOptions,
  type Refusal,
} from './twilio/twiml.js';
export type { CallVerb } from './twilio/verbs.js';
export { CallWebhookInput } from './twilio/webhook.js';
export { VERSION } from './version.js';
export { verifyWebhook } from './webhooks/signature.js';
