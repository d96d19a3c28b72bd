// An attacker in its own process: sends the same bytes over many connections, repeatedly, until stopped.
import { connect } from 'node:net';

const { port, connections, piece, times, reads, waits, bodyBytes = 0 } = JSON.parse(process.argv[2]);
const bytes = Buffer.concat([Buffer.from(piece.repeat(times), 'latin1'), Buffer.alloc(bodyBytes, 'x')]);
const counts = { connections: 0, answers: 0, sentBytes: 0 };
let isOver = false;
const sockets = new Set();

function attack() {
  if (isOver) return;
  counts.connections += 1;
  const socket = connect(port, '127.0.0.1');
  sockets.add(socket);
  if (!reads) socket.pause();
  const send = () => {
    socket.write(bytes);
    counts.sentBytes += bytes.length;
  };
  socket.on('connect', send);
  socket.on('data', (data) => {
    for (let at = data.indexOf('HTTP/1.1 '); at >= 0; at = data.indexOf('HTTP/1.1 ', at + 1))
      counts.answers += 1;
    // One that waits for its answers sends the next when it has one.
    if (waits) send();
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    sockets.delete(socket);
    // Not within the same turn: connections that fail at once would keep this process from its own timers.
    setImmediate(attack);
  });
}

for (let i = 0; i < connections; i++) attack();
process.send(counts);
process.on('message', () => process.send(counts));
process.on('disconnect', () => {
  isOver = true;
  for (const socket of sockets) socket.destroy();
  process.exit();
});
