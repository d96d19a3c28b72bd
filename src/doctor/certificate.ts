import type { Check, Result } from './check.js';
import { reasonOf } from './wire.js';

/** Days before expiry by which a certificate should have been renewed. */
const LAST_DAYS = 7;
const DAY_MS = 86_400_000;

/** Whether Twilio, which rejects unknown certificates, would accept this one. */
export const certificate: Check = {
  name: 'certificate',
  async run({ at, wire, clock }) {
    if (at === undefined) return { mark: 'skip', says: 'There is no public URL to check' };
    const { hostname, port } = new URL(at.origin);
    if (at.origin.startsWith('http:')) {
      return {
        mark: 'fail',
        says: `Twilio streams only to https and wss, but the URL is ${at.origin}`,
        set: `PUBLIC_URL=https://${hostname}${at.prefix}, with a certificate at the proxy`,
      };
    }
    try {
      const { fault, names, validTo } = await wire.certificate(at.origin);
      const days = Math.floor((validTo.getTime() - clock.date().getTime()) / DAY_MS);
      if (fault !== undefined) return refused(fault, hostname, names, validTo);
      if (days >= LAST_DAYS) return { mark: 'ok', says: `The certificate is valid for ${days} days` };
      return {
        mark: 'warn',
        says: `The certificate expires in ${days} days`,
        set: 'a renewed certificate at the proxy',
      };
    } catch (error) {
      const says = `No TLS connection to ${hostname}:${port || 443}: ${reasonOf(error)}`;
      return {
        mark: 'fail',
        says,
        set: 'PUBLIC_URL to where the proxy listens with TLS, and check DNS and firewall',
      };
    }
  },
};

function refused(fault: string, hostname: string, names: string, validTo: Date): Result {
  const mark = 'fail';
  if (fault === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return {
      mark,
      says: `The certificate is for ${names}, not for ${hostname}`,
      set: `PUBLIC_URL to one of its names, or a certificate for ${hostname} at the proxy`,
    };
  }
  if (fault === 'CERT_HAS_EXPIRED') {
    return {
      mark,
      says: `The certificate expired on ${validTo.toUTCString()}`,
      set: 'a renewed certificate at the proxy',
    };
  }
  if (fault === 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' || fault === 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY') {
    return {
      mark,
      says: 'The certificate’s issuer is unknown, or the proxy does not send the intermediate certificates',
      set: 'the full chain at the proxy (fullchain.pem), from an authority that browsers trust',
    };
  }
  return {
    mark,
    says: `Twilio would reject the certificate: ${fault}`,
    set: 'a certificate from an authority that browsers trust, at the proxy',
  };
}
