import type { Check, Result } from './check.js';
import { reasonOf } from './wire.js';

/** Days before its end at which a certificate should long have been renewed. */
const LAST_DAYS = 7;
const DAY_MS = 86_400_000;

/** Whether Twilio, which accepts no unknown certificate, would take this one. */
export const certificate: Check = {
  name: 'certificate',
  async run({ at, wire, clock }) {
    if (at === undefined) return { mark: 'skip', says: 'There is no public URL to look at' };
    const { hostname, port } = new URL(at.origin);
    if (at.origin.startsWith('http:')) {
      return {
        mark: 'fail',
        says: `Twilio streams to https and wss only, and ${at.origin} is neither`,
        set: `PUBLIC_URL=https://${hostname}${at.prefix}, and a certificate at the proxy`,
      };
    }
    try {
      const { fault, names, validTo } = await wire.certificate(at.origin);
      const days = Math.floor((validTo.getTime() - clock.date().getTime()) / DAY_MS);
      if (fault !== undefined) return refused(fault, hostname, names, validTo);
      if (days >= LAST_DAYS) return { mark: 'ok', says: `The certificate is good for ${days} days` };
      return {
        mark: 'warn',
        says: `The certificate ends in ${days} days`,
        set: 'a renewed one at the proxy',
      };
    } catch (error) {
      const says = `Expected TLS on ${hostname}:${port || 443} but ${reasonOf(error)}`;
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
      set: `PUBLIC_URL to a name it is for, or a certificate for ${hostname} at the proxy`,
    };
  }
  if (fault === 'CERT_HAS_EXPIRED') {
    return {
      mark,
      says: `The certificate ended on ${validTo.toUTCString()}`,
      set: 'a renewed one at the proxy',
    };
  }
  if (fault === 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' || fault === 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY') {
    return {
      mark,
      says: 'The certificate’s issuer is not known, or the proxy does not send the certificates in between',
      set: 'the full chain at the proxy (fullchain.pem), from an authority that browsers trust',
    };
  }
  return {
    mark,
    says: `Twilio would refuse the certificate: ${fault}`,
    set: 'a certificate from an authority that browsers trust, at the proxy',
  };
}
