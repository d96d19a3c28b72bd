import { wrtcStack } from '../../../src/bridge/stream/wrtc.js';

wrtcStack.installGlobals();
const mode = process.argv[2];
const s = wrtcStack.createAudioSource();
if (mode === 'src') {
  s.write(new Int16Array(480));
  s.createStream();
}
if (mode === 'pc') {
  const pc = new (globalThis as any).RTCPeerConnection();
  const pc2 = new (globalThis as any).RTCPeerConnection();
  for (const t of s.createStream().getAudioTracks()) pc.addTrack(t);
  const o = await pc.createOffer();
  await pc.setLocalDescription(o);
  await pc2.setRemoteDescription(o);
  const a = await pc2.createAnswer();
  await pc2.setLocalDescription(a);
  await pc.setRemoteDescription(a);
  await new Promise((r) => setTimeout(r, 1500));
  console.log(pc.connectionState);
  pc.close();
  pc2.close();
}
