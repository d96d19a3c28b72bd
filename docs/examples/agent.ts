/**
 * A voice agent on a phone call: says back what it hears, and falls silent when it is interrupted.
 * Usage: CONTROL_API_KEY=… npx tsx agent.ts ws://127.0.0.1:3000/v1/rooms/call:ID/leg
 */
import { WebSocket } from 'ws';

const RATE = 16_000; // samples a second
const LOUD = 1_000; // of 32,768
const PAUSE = 25; // frames of 20 ms

const headers = { authorization: `Bearer ${process.env.CONTROL_API_KEY}` };
const leg = new WebSocket(`${process.argv[2]}?rate=${RATE}`, { headers });
let heard: Buffer[] = [];
let quiet = 0;
let speaks = false;

leg.on('message', (message: Buffer, isAudio) => {
  if (!isAudio) {
    const event = JSON.parse(message.toString()); // ready, joined, left, dtmf, mark, …
    console.log(JSON.stringify(event));
    if (event.type === 'mark') speaks = false;
    if (event.type === 'left') leg.close();
  } else if (isLoud(message)) {
    if (speaks) leg.send('{"type":"clear"}'); // barge-in: the caller hears no more of the answer
    [speaks, quiet] = [false, 0];
    heard.push(message);
  } else if (heard.length > 0 && quiet++ < PAUSE) heard.push(message);
  else if (heard.length > 0) {
    // The caller has finished: your speech recognition, model and voice go here.
    leg.send(Buffer.concat(heard.slice(-1_000))); // at once; the leg speaks it at its own pace
    leg.send('{"type":"mark","name":"said"}');
    [heard, speaks] = [[], true];
  }
});

function isLoud(frame: Buffer): boolean {
  const samples = new Int16Array(Uint8Array.from(frame).buffer);
  return samples.reduce((sum, sample) => sum + sample * sample, 0) > LOUD * LOUD * samples.length;
}
