import { afterEach, describe, expect, it } from 'vitest';
import { systemNetwork } from '../../../src/rtc/ice/network.js';
import type { CandidateInit, Configuration } from '../../../src/rtc/peer-connection.js';
import { amplitudeAt } from '../../support/media.js';
import { needs } from '../../support/needs.js';
import { leanOnly } from '../../support/rtc-native.js';
import { ears, introduce, lean, leanVoice, negotiate, sine } from '../../support/rtc-pair.js';
import { eventually } from '../../support/time.js';
import { hasTurn, startTurn } from '../../support/turn.js';

leanOnly();

const LEVEL = 4_000;

afterEach(() => {
  delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
});

/** Has a tone heard. @param lead what becomes of a candidate on its way @returns the selected pair */
async function pairOfTone(configuration: Configuration, lead = (init: CandidateInit): unknown => init) {
  const speaker = lean(configuration);
  const listener = lean(configuration);
  speaker.addTransceiver(leanVoice(sine(300, LEVEL)).track, { direction: 'sendonly' });
  for (const connection of [speaker, listener]) {
    const add = connection.addIceCandidate.bind(connection);
    connection.addIceCandidate = async (init) => {
      const led = init && (lead(init) as CandidateInit | undefined);
      if (led) await add(led);
    };
  }
  introduce(speaker, listener);
  const all = ears(listener);
  await negotiate(speaker, listener);
  await eventually('the tone', () => {
    const half = all[0]?.last(500) ?? new Int16Array();
    return half.length === 4_000 && Math.abs(20 * Math.log10(amplitudeAt(300, 8_000, half) / LEVEL)) < 0.5;
  });
  const stats = [...(await speaker.getStats()).values()] as { type: string }[];
  const find = (wanted: string) => stats.find(({ type }) => type === wanted);
  return { local: find('local-candidate'), remote: find('remote-candidate') };
}

const hasIpv6 = () =>
  needs('an address of IPv6', 'ip -6 addr add fd00::2/64 dev eth0', () =>
    systemNetwork.addresses().some((address) => address.includes(':')),
  );

it.skipIf(!hasIpv6())('over IPv6 alone a tone is heard', async () => {
  const { local, remote } = await pairOfTone({}, (init) => {
    const [, before, address, after] =
      /^(candidate:\S+ 1 udp \d+) (\S+) (.*)$/.exec(init.candidate ?? '') ?? [];
    return address?.includes(':') ? { ...init, candidate: `${before} ::1 ${after}` } : undefined;
  });
  expect(local).toMatchObject({ address: expect.stringContaining(':'), protocol: 'udp' });
  expect(remote).toMatchObject({ address: '::1' });
});

describe.skipIf(!hasTurn()).each(['udp', 'tcp', 'tls'] as const)('over a relay by %s alone', (transport) => {
  it('a tone is heard', async () => {
    // Its certificate is of nobody whom Node knows.
    if (transport === 'tls') process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    const { iceServer } = await startTurn(transport);
    const { urls, username, password } = iceServer;
    const configuration: Configuration = {
      iceServers: [{ urls, username, credential: password }],
      iceTransportPolicy: 'relay',
    };
    await eventually('the server', async () => {
      const probe = lean(configuration);
      probe.addTransceiver('audio');
      await probe.setLocalDescription(await probe.createOffer());
      await eventually('the end of gathering', () => probe.iceGatheringState === 'complete', 15_000);
      const { sdp } = await probe.createOffer();
      probe.close();
      return sdp?.includes('typ relay');
    });
    const { local, remote } = await pairOfTone(configuration);
    expect([local, remote]).toMatchObject([{ candidateType: 'relay' }, { candidateType: 'relay' }]);
  });
});
