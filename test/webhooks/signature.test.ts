import { createHmac } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { describe, expect, it } from 'vitest';
import { GatewayError, verifyWebhook } from '../../src/index.js';
import { isWebhookSecret, type SignatureHeaders, signWebhook } from '../../src/webhooks/signature.js';
import { SECRET } from '../support/receiver.js';

const BODY = '{"type":"call.ended","name":"Ada Lovelace – ☎"}';
const PLAIN = 'a secret in plain words';
const reader = (headers: SignatureHeaders) => (name: string) =>
  (headers as unknown as Record<string, string>)[name];

describe('the signature', () => {
  it('is the one of Standard Webhooks, checked by their own library', () => {
    const headers = signWebhook('msg_1', BODY, [SECRET]);
    expect(new Webhook(SECRET).verify(BODY, { ...headers })).toEqual(JSON.parse(BODY));
    expect(() => new Webhook(SECRET).verify(`${BODY} `, { ...headers })).toThrow();
  });

  it('is HMAC-SHA256 over id.timestamp.body', () => {
    const headers = signWebhook('msg_1', BODY, [PLAIN], 1_700_000_000);
    const mac = createHmac('sha256', PLAIN).update(`msg_1.1700000000.${BODY}`).digest('base64');
    expect(headers).toEqual({
      'webhook-id': 'msg_1',
      'webhook-timestamp': '1700000000',
      'webhook-signature': `v1,${mac}`,
    });
  });

  it('is made with every secret during a rotation, and each receiver accepts it', () => {
    const headers = signWebhook('msg_1', BODY, [SECRET, PLAIN]);
    expect(headers['webhook-signature'].split(' ')).toHaveLength(2);
    new Webhook(SECRET).verify(BODY, { ...headers });
    verifyWebhook(reader(headers), BODY, PLAIN);
    verifyWebhook(reader(headers), BODY, SECRET);
  });

  it.each<[string, Partial<SignatureHeaders>, string]>([
    ['another body', {}, `${BODY} `],
    ['another id', { 'webhook-id': 'msg_2' }, BODY],
    ['another second', { 'webhook-timestamp': String(Math.floor(Date.now() / 1000) + 1) }, BODY],
    ['no timestamp', { 'webhook-timestamp': '' }, BODY],
    ['a timestamp that is no number', { 'webhook-timestamp': 'NaN' }, BODY],
    ['no signature', { 'webhook-signature': '' }, BODY],
    ['a signature of another length', { 'webhook-signature': 'v1,AA==' }, BODY],
  ])('is rejected for %s', (_name, change, body) => {
    const headers = { ...signWebhook('msg_1', BODY, [SECRET]), ...change };
    expect(() => verifyWebhook(reader(headers), body, SECRET)).toThrow(
      expect.objectContaining({ code: 'GW_WEBHOOK_SIGNATURE', status: 401 }) as GatewayError,
    );
  });

  it('is rejected if it is old or in the future: a replay', () => {
    const now = Math.floor(Date.now() / 1000);
    for (const seconds of [now - 400, now + 400]) {
      const headers = signWebhook('msg_1', BODY, [SECRET], seconds);
      expect(() => verifyWebhook(reader(headers), BODY, SECRET)).toThrow(GatewayError);
      expect(() => verifyWebhook(reader(headers), BODY, SECRET, 1_000)).not.toThrow();
    }
  });

  it('needs a secret of sixteen bytes', () => {
    expect(isWebhookSecret(SECRET)).toBe(true);
    expect(isWebhookSecret('sixteen-letters!')).toBe(true);
    expect(isWebhookSecret('fifteen-letters')).toBe(false);
    expect(isWebhookSecret(`whsec_${Buffer.alloc(16).toString('base64')}`)).toBe(true);
    expect(isWebhookSecret('whsec_c2hvcnQ=')).toBe(false);
    expect(isWebhookSecret(undefined)).toBe(false);
  });
});
