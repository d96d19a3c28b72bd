import type { CallService } from '../calls/call-service.js';
import type { CallbackKind } from '../calls/callbacks.js';
import { GatewayError } from '../errors.js';
import { checkFormType, MAX_FORM_BYTES, MAX_PARAMETERS, parseForm } from '../twilio/form.js';
import { CallWebhookInput } from '../twilio/webhook.js';
import type { RequestAuthenticator } from './request-authenticator.js';
import type { RequestContext } from './request-context.js';

/** The webhooks that Twilio calls. Every one is signed and form-encoded. */
export class TwilioRoutes {
  constructor(
    private readonly calls: CallService,
    private readonly authenticator: RequestAuthenticator,
  ) {}

  /** `POST /twilio/voice`: a call comes in; the answer is TwiML. */
  async voice(context: RequestContext): Promise<void> {
    const input = await this.webhook(context);
    if (input.callSid === '') {
      throw new GatewayError('GW_CALL_SID_MISSING', 'Expected a CallSid in the webhook but received none');
    }
    const publicBase = this.authenticator.publicBase(context) as string;
    const twiml = await this.calls.answer(input, publicBase, triesOf(context));
    context.answer(200, 'text/xml', twiml);
  }

  /** `POST /twilio/next`: a stream is over and the caller still there; the answer is TwiML. */
  async next(context: RequestContext): Promise<void> {
    const input = await this.webhook(context);
    const publicBase = this.authenticator.publicBase(context) as string;
    const twiml = await this.calls.continueCall(input, publicBase, triesOf(context));
    context.answer(200, 'text/xml', twiml);
  }

  /** `POST /twilio/status`: how a call is doing. */
  async status(context: RequestContext): Promise<void> {
    await this.note('status', context);
  }

  /** `POST /twilio/stream-status`: how a stream is doing; tells of handshakes that failed. */
  async streamStatus(context: RequestContext): Promise<void> {
    await this.note('stream-status', context);
  }

  /** `POST /twilio/amd`: who or what answered a call that we placed. */
  async amd(context: RequestContext): Promise<void> {
    await this.note('amd', context);
  }

  private async note(kind: CallbackKind, context: RequestContext): Promise<void> {
    const input = await this.webhook(context);
    const callId = new URLSearchParams(context.query).get('callId') ?? undefined;
    await this.calls.handleCallback(kind, input, callId);
    context.answer(204);
  }

  private async webhook(context: RequestContext): Promise<CallWebhookInput> {
    checkFormType(context.contentType);
    this.authenticator.checkWebhookHead(context);
    const body = await context.bytes(MAX_FORM_BYTES);
    const parameters = await context.inTurn(() => {
      const form = parseForm(body, MAX_PARAMETERS);
      this.authenticator.checkWebhook(context, form);
      return form;
    });
    context.isKnown = true;
    return new CallWebhookInput(parameters);
  }
}

/** How often Twilio was told to ask again. */
function triesOf(context: RequestContext): number {
  const tries = Number(new URLSearchParams(context.query).get('again') ?? 0);
  return Number.isInteger(tries) && tries > 0 ? tries : 0;
}
