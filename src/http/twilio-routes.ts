import type { CallService } from '../calls/call-service.js';
import type { CallbackKind } from '../calls/callbacks.js';
import { GatewayError } from '../errors.js';
import { checkFormType, MAX_FORM_BYTES, MAX_PARAMETERS, parseForm } from '../twilio/form.js';
import { CallWebhookInput } from '../twilio/webhook.js';
import type { RequestAuthenticator } from './request-authenticator.js';
import type { RequestContext } from './request-context.js';

/** Twilio's webhooks, all signed and form-encoded. */
export class TwilioRoutes {
  constructor(
    private readonly calls: CallService,
    private readonly authenticator: RequestAuthenticator,
  ) {}

  /** `POST /twilio/voice`: an incoming call; answers TwiML. */
  async voice(context: RequestContext): Promise<void> {
    const input = await this.webhook(context);
    if (input.callSid === '') {
      throw new GatewayError('GW_CALL_SID_MISSING', 'The webhook has no CallSid');
    }
    const publicBase = this.authenticator.publicBase(context) as string;
    const twiml = await this.calls.answer(input, publicBase, triesOf(context));
    context.answer(200, 'text/xml', twiml);
  }

  /** `POST /twilio/next`: a media stream has ended and the caller is still there; answers TwiML. */
  async next(context: RequestContext): Promise<void> {
    const input = await this.webhook(context);
    const publicBase = this.authenticator.publicBase(context) as string;
    const twiml = await this.calls.continueCall(input, publicBase, triesOf(context));
    context.answer(200, 'text/xml', twiml);
  }

  /** `POST /twilio/status`: a call's status. */
  async status(context: RequestContext): Promise<void> {
    await this.note('status', context);
  }

  /** `POST /twilio/stream-status`: a media stream's status, with failed handshakes. */
  async streamStatus(context: RequestContext): Promise<void> {
    await this.note('stream-status', context);
  }

  /** `POST /twilio/amd`: who or what answered an outbound call. */
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

/** How often Twilio was asked to retry. */
function triesOf(context: RequestContext): number {
  const tries = Number(new URLSearchParams(context.query).get('again') ?? 0);
  return Number.isInteger(tries) && tries > 0 ? tries : 0;
}
