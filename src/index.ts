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
export { StreamBridge, type StreamBridgeStats } from './bridge/stream/bridge.js';
export type { StreamBridgeOptions } from './bridge/stream/options.js';
export type { MediaWorkerState } from './bridge/stream/worker-pool.js';
export { type CallState, type EndCause, TwilioCall } from './calls/call.js';
export type { CallReport } from './calls/call-report.js';
export type { PlacedCall } from './calls/call-service.js';
export type { Admission, CallDecision, PhoneCall, PrepareCallHook } from './calls/decision.js';
export type { PlaceCallRequest } from './calls/place-call.js';
export { TwilioCallRegistry, TwilioCallRegistry as CallRegistry } from './calls/registry.js';
export type { CallResult } from './calls/result.js';
export { Clock, systemClock, type Timeout, type Timer } from './clock.js';
export { type Config, readConfig } from './config.js';
export type { PlayEnd, PlayResult } from './control/call-audio.js';
export type { Controls } from './control/controls.js';
export type {
  DtmfRequest,
  HoldRequest,
  MuteRequest,
  PlayRequest,
  PlayStarted,
  TransferRequest,
  Transferred,
} from './control/requests.js';
export type { ErrorCode } from './error-catalogue.js';
export { GatewayError } from './errors.js';
export type { EventCall, EventData, EventType, GatewayEvent } from './events/event.js';
export type { EventLog } from './events/event-log.js';
export type { EventWebhookOptions } from './events/event-webhooks.js';
export type { Handover } from './fleet/fleet.js';
export { createGateway, Gateway, type GatewayStats } from './gateway.js';
export type { GatewayOptions } from './gateway-options.js';
export { fromWs, type WsData, type WsSocket } from './http/from-ws.js';
export type { OwnRoute, OwnRoutes } from './http/own-routes.js';
export type { ServerChoice } from './http/transport/transport.js';
export { FRAME_MS, FRAME_SAMPLES, type FrameSink, SAMPLE_RATE } from './media/frame.js';
export { alawToPcm, mulawToPcm, pcmToAlaw, pcmToMulaw, TWILIO_SAMPLE_RATE } from './media/g711.js';
export { createResampler, type RateConverter, RESAMPLER_RATES } from './media/rate-converter.js';
export {
  createTranscoder,
  type PayloadFormat,
  type Transcoder,
  type TranscoderOptions,
} from './media/thread-core.js';
export type { MarkEcho } from './phone/marks.js';
export type { MediaSocket } from './phone/media-socket.js';
export {
  type MediaStreamOptions,
  type StreamEnd,
  type StreamStart,
  TwilioMediaStream,
  TwilioMediaStream as MediaStream,
} from './phone/media-stream.js';
export type { RecordingEnd, RecordingResult } from './recording/recording.js';
export type { RecordingView, RecordRequest } from './recording/recordings.js';
export type { RouterOptions } from './router/call-router.js';
export type { RouterQuestion } from './router/question.js';
export type { LatencySummary } from './telemetry/histogram.js';
export type { LatencySummaries } from './telemetry/latencies.js';
export type { Metric } from './telemetry/metric.js';
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
