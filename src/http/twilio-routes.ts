import type { CallService } from '../calls/call-service.js';
import type { CallbackKind } from '../calls/callbacks.js';
import { GatewayError } from '../errors.js';
import { checkFormType, MAX_FORM_BYTES, MAX_PARAMETERS, parseForm } from '../twilio/form.js';
import { CallWebhookInput } from '../twilio/webhook.js';
import type { Gatekeeper } from './request-authenticator.js';
import type { Exchange } from './request-context.js';

/** The webhooks that Twilio calls. Every one is signed and form-encoded. */
export class TwilioRoutes {
  constructor(
    private readonly calls: CallService,
    private readonly gatekeeper: Gatekeeper,
  ) {}

  /** `POST /twilio/voice`: a call comes in; the answer is TwiML. */
  async voice(exchange: Exchange): Promise<void> {
    const input = await this.webhook(exchange);
    if (input.callSid === '') {
      throw new GatewayError('GW_CALL_SID_MISSING', 'Expected a CallSid in the webhook but received none', {
        status: 400,
      });
    }
    const publicBase = this.gatekeeper.publicBase(exchange) as string;
    const twiml = await this.calls.answer(input, publicBase, triesOf(exchange));
    exchange.answer(200, 'text/xml', twiml);
  }

  /** `POST /twilio/next`: a stream is over and the caller still there; the answer is TwiML. */
  async next(exchange: Exchange): Promise<void> {
    const input = await this.webhook(exchange);
    const publicBase = this.gatekeeper.publicBase(exchange) as string;
    const twiml = await this.calls.goOn(input, publicBase, triesOf(exchange));
    exchange.answer(200, 'text/xml', twiml);
  }

  /** `POST /twilio/status`: how a call is doing. */
  async status(exchange: Exchange): Promise<void> {
    await this.note('status', exchange);
  }

  /** `POST /twilio/stream-status`: how a stream is doing; tells of handshakes that failed. */
  async streamStatus(exchange: Exchange): Promise<void> {
    await this.note('stream-status', exchange);
  }

  /** `POST /twilio/amd`: who or what answered a call that we placed. */
  async amd(exchange: Exchange): Promise<void> {
    await this.note('amd', exchange);
  }

  private async note(kind: CallbackKind, exchange: Exchange): Promise<void> {
    const input = await this.webhook(exchange);
    const callId = new URLSearchParams(exchange.query).get('callId') ?? undefined;
    await this.calls.note(kind, input, callId);
    exchange.answer(204);
  }

  private async webhook(exchange: Exchange): Promise<CallWebhookInput> {
    checkFormType(exchange.contentType);
    this.gatekeeper.checkWebhookHead(exchange);
    const body = await exchange.bytes(MAX_FORM_BYTES);
    const parameters = await exchange.inTurn(() => {
      const form = parseForm(body, MAX_PARAMETERS);
      this.gatekeeper.checkWebhook(exchange, form);
      return form;
    });
    exchange.isKnown = true;
    return new CallWebhookInput(parameters);
  }
}

/** How often Twilio was told to ask again. */
function triesOf(exchange: Exchange): number {
  const tries = Number(new URLSearchParams(exchange.query).get('again') ?? 0);
  return Number.isInteger(tries) && tries > 0 ? tries : 0;
}
