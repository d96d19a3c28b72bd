import { Agent } from '/work/main/test/support/stream/agent.js';
import { StreamDouble } from '/work/main/test/support/stream/double.js';

const double = await StreamDouble.start();
const t0 = performance.now();
const a = await Agent.join({ double, callId: 'one', userId: 'anna' });
a.play(1000, 8000);
console.log('a joined', performance.now() - t0);
const b = await Agent.join({ double, callId: 'one', userId: 'bert' });
b.play(1700, 8000);
console.log('b joined', performance.now() - t0);
const t1 = performance.now();
for (let i = 0; i < 200; i++) {
  await new Promise((r) => setTimeout(r, 50));
  if (a.heard(1700) > 7000 && b.heard(1000) > 7000) break;
}
console.log(
  'heard after',
  performance.now() - t1,
  a.heard(1700),
  a.heard(1000),
  b.heard(1000),
  b.heard(1700),
);
console.log(JSON.stringify(double.state, null, 1));
await a.leave();
await b.leave();
console.log(JSON.stringify(double.state));
await double.close();
setTimeout(() => {}, 8000);
process.on('exit', () => console.error('exiting at', performance.now()));
