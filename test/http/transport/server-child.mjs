/**
 * One transport of a given `dist` in its own process: `server-child.mjs DIST NAME`. Its routes do what their query
 * asks for. It takes commands on stdin, and tells on stdout what happened on its side: JSON, one a line.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [dist, name] = process.argv.slice(2);
const load = (file) => import(pathToFileURL(join(dist, file)).href);
const { chooseTransport } = await load('http/transport/choice.js');
const { Descriptors } = await load('telemetry/descriptors.js');
const { createLog } = await load('telemetry/log.js');
const { systemClock: clock } = await load('clock.js');

const log = createLog('error', process.stderr);
const descriptors = new Descriptors(log, clock);
const transport = await chooseTransport(name);
const ports = new Map();
/** Requests, upgrades and sockets by the key in their query. */
const replies = new Map();
const upgrades = new Map();
const sockets = new Map();

const tell = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const pattern = (size) => Buffer.alloc(size, '0123456789');
const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');
const asked = (request) => new URLSearchParams(request.query ?? '');

/** Reports errors that are thrown; they may have no other effect. */
function guarded(key, work) {
  try {
    return work();
  } catch (error) {
    tell({ event: 'threw', key, message: String(error) });
    return undefined;
  }
}

function answer(key, reply, { status = 200, size, text, close = false, headers = [], again = false }) {
  const body = text === undefined ? pattern(Number(size ?? 0)) : Buffer.from(text);
  guarded(key, () => {
    const isTaken = reply.answer({ status: Number(status), headers }, body, close, () =>
      tell({ event: 'taken', key }),
    );
    tell({ event: 'answered', key, isTaken });
    if (again) reply.answer({ status: 500, headers: [] }, pattern(0), false, () => {});
  });
}

function listen(key, reply) {
  let isGone = false;
  reply.onGone(() => {
    isGone = true;
    tell({ event: 'gone', key });
  });
  const kept = {
    reply,
    get isGone() {
      return isGone;
    },
  };
  replies.set(key, kept);
  return kept;
}

/** Answers with what it was asked. */
const echo = (handler) => (request, reply) => {
  const query = asked(request);
  const key = query.get('k') ?? '';
  const names = (query.get('h') ?? '').split(',').filter(Boolean);
  const seen = {
    handler,
    method: request.method,
    path: request.path,
    query: request.query ?? null,
    headers: Object.fromEntries(names.map((header) => [header, request.header(header)])),
    all: request.headers(),
    lines: Object.fromEntries(names.map((header) => [header, request.lines(header)])),
    parameters: [request.parameter(0), request.parameter(1)],
    peer: reply.peer,
  };
  tell({ event: 'asked', key, handler, method: request.method, path: request.path });
  reply.onGone(() => {});
  answer(key, reply, { text: JSON.stringify(seen), headers: [['content-type', 'application/json']] });
};

function addRoutes(routes) {
  for (const method of ['get', 'post', 'put', 'patch', 'del', 'head', 'options', 'any']) {
    routes.on(method, '/echo', echo(method));
  }
  routes.on('get', '/only-get', echo('get'));
  // The parameter first: fixed paths take precedence, regardless of order.
  routes.on('any', '/order/:first', echo('parameter'));
  routes.on('any', '/order/fixed', echo('fixed'));
  routes.on('any', '/order/:first/:second', echo('two parameters'));
  routes.on('any', '/order/fixed/:second', echo('fixed and parameter'));
  routes.on('any', '/*', echo('rest'));

  routes.on('any', '/answer', (request, reply) => {
    const query = asked(request);
    const key = query.get('k') ?? '';
    const { isGone } = listen(key, reply);
    const wish = {
      status: query.get('status') ?? 200,
      ...(query.has('size') ? { size: query.get('size') } : {}),
      close: query.has('close'),
      again: query.has('again'),
      headers: [
        ['x-one', 'a'],
        ['x-two', 'b'],
      ],
    };
    tell({ event: 'asked', key });
    if (query.has('hold')) return;
    if (query.has('block')) block(Number(query.get('block')));
    if (!query.has('wait')) answer(key, reply, wish);
    else clock.after(Number(query.get('wait')), () => isGone || answer(key, reply, wish));
  });

  routes.on('post', '/body', (request, reply) => {
    const query = asked(request);
    const key = query.get('k') ?? '';
    listen(key, reply);
    const lengths = request.lines('content-length');
    tell({ event: 'asked', key, lengths });
    // As those above do: of two lengths a proxy may believe the other one.
    if (lengths.length > 1 || !/^\d{0,15}$/.test(lengths[0] ?? '')) {
      answer(key, reply, { status: 400, text: 'length' });
      return;
    }
    if (query.has('unread')) {
      answer(key, reply, { status: 413, text: 'unread', close: query.has('close') });
      return;
    }
    const hash = createHash('sha256');
    let [size, chunks] = [0, 0];
    guarded(key, () => {
      reply.onData((chunk, isLast) => {
        const bytes = Buffer.from(chunk);
        hash.update(bytes);
        size += bytes.length;
        chunks += 1;
        if (query.has('chunks')) tell({ event: 'chunk', key, size });
        if (query.has('pause') && chunks === 1 && !isLast) {
          reply.pause();
          tell({ event: 'paused', key, size });
        }
        if (!isLast) return;
        const sum = hash.digest('hex');
        tell({ event: 'body', key, size });
        if (!query.has('hold')) answer(key, reply, { text: JSON.stringify({ size, sum }) });
      });
    });
  });

  routes.on('get', '/stream', (request, reply) => {
    const key = asked(request).get('k') ?? '';
    listen(key, reply);
    guarded(key, () => {
      reply.begin({ status: 200, headers: [['content-type', 'text/plain']] }, () =>
        tell({ event: 'writable', key }),
      );
    });
    tell({ event: 'asked', key });
  });

  routes.on('any', '/throws', (request, reply) => {
    reply.onGone(() => {});
    tell({ event: 'asked', key: asked(request).get('k') ?? '' });
    throw new Error('thrown by a route');
  });

  routes.socket('/ws/:room', socketRoute(1024 * 1024));
  routes.on('any', '/ws/:room', echo('no socket'));
  routes.socket('/small/:room', socketRoute(1_000));
}

function socketRoute(maxMessageBytes) {
  return {
    maxMessageBytes,
    upgrade(request, reply, accept) {
      const query = asked(request);
      const key = query.get('k') ?? '';
      const data = { key, isEcho: query.has('echo'), throwsAt: query.get('throws'), socket: undefined };
      const kept = listen(key, reply);
      const protocol = request.header('sec-websocket-protocol');
      const upgrade = request.header('upgrade');
      tell({ event: 'upgrade', key, parameter: request.parameter(0), protocol, upgrade, path: request.path });
      if (data.throwsAt === 'upgrade') throw new Error('thrown by an upgrade');
      const take = (chosen) => accept(data, chosen);
      upgrades.set(key, take);
      if (query.has('hold')) return;
      if (query.has('block')) block(Number(query.get('block')));
      if (query.has('status')) answer(key, reply, { status: query.get('status'), text: 'no', close: true });
      else
        setImmediate(() => {
          if (kept.isGone) return;
          tell({ event: 'accepted', key });
          guarded(key, () => take(query.get('protocol') ?? undefined));
        });
    },
    open(data, socket) {
      data.socket = socket;
      sockets.set(data.key, data);
      tell({ event: 'open', key: data.key });
      if (data.throwsAt === 'open') throw new Error('thrown at an open');
    },
    message(data, message, isBinary) {
      const bytes = Buffer.from(new Uint8Array(message));
      const text = bytes.length <= 200 ? bytes.toString() : undefined;
      tell({ event: 'message', key: data.key, isBinary, size: bytes.length, text, digest: digest(bytes) });
      if (data.throwsAt === 'message') throw new Error('thrown at a message');
      if (data.isEcho) data.socket.send(isBinary ? bytes : bytes.toString(), isBinary);
    },
    drained(data) {
      tell({
        event: 'drained',
        key: data.key,
        buffered: guarded(data.key, () => data.socket.bufferedBytes()),
      });
      if (data.throwsAt === 'drained') throw new Error('thrown at a drain');
    },
    closed(data, code) {
      tell({ event: 'closed', key: data.key, code });
      // Whoever still holds it may ask it for anything.
      guarded(data.key, () => {
        const isSent = data.socket?.send('too late');
        data.socket?.close(1000, 'too late');
        tell({ event: 'afterwards', key: data.key, isSent, buffered: data.socket?.bufferedBytes() });
      });
      if (data.throwsAt === 'closed') throw new Error('thrown at a close');
    },
    failed(data, error) {
      tell({ event: 'failed', key: data.key, message: error.message });
    },
  };
}

function block(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** A number first, so that the order of messages can be seen. */
function numbered(n, size) {
  const bytes = Buffer.alloc(size, '.');
  bytes.write(String(n).padStart(8, '0'));
  return bytes;
}

const commands = {
  async listen({ port = 'main', host = '127.0.0.1', number = 0, isShared = false, tls, seats = 100 }) {
    const opened = transport.port({ tls, addRoutes, seats, descriptors, log, clock });
    const listened = await opened.listen(host, number, isShared);
    ports.set(port, opened);
    return { port: listened };
  },
  renew({ port = 'main', tls }) {
    const step = ports.get(port).renewed(tls);
    step?.();
    return { isNew: step !== undefined };
  },
  crowded: ({ port = 'main', isCrowded }) => ports.get(port).crowded(isCrowded),
  leave: ({ port = 'main' }) => ports.get(port).leave(),
  close: ({ port = 'main' }) => ports.get(port).close(),

  answer: ({ key, ...wish }) => answer(key, replies.get(key).reply, wish),
  write({ key, text, size, times = 1, untilFull = false }) {
    const part = text ?? pattern(size).toString();
    let [written, isTaken] = [0, true];
    while (untilFull ? isTaken : written < times) {
      isTaken = replies.get(key).reply.write(part);
      written += 1;
    }
    return { written, isTaken };
  },
  cut: ({ key }) => replies.get(key).reply.close(),
  pause: ({ key }) => replies.get(key).reply.pause(),
  resume: ({ key }) => replies.get(key).reply.resume(),

  accept: ({ key, protocol }) => upgrades.get(key)(protocol),
  send({ key, text, size, isBinary = false, times = 1, from = 0, untilDropped = false, untilFull = 0 }) {
    const { socket } = sockets.get(key);
    let [sent, isSent] = [0, true];
    const isDone = () => {
      if (untilDropped) return !isSent;
      return untilFull > 0 ? socket.bufferedBytes() >= untilFull : sent >= times;
    };
    while (!isDone()) {
      isSent = socket.send(
        text ?? (isBinary ? numbered(from + sent, size) : numbered(from + sent, size).toString()),
        isBinary,
      );
      sent += 1;
    }
    return { sent, isSent, buffered: socket.bufferedBytes() };
  },
  samples({ key, values }) {
    const samples = Int16Array.from(values);
    const isSent = sockets.get(key).socket.send(samples, true);
    // They were only lent.
    samples.fill(0);
    return { isSent };
  },
  end({ key, code, reason = '', send }) {
    const { socket } = sockets.get(key);
    socket.close(code, reason);
    if (send !== undefined) return { isSent: socket.send(send), buffered: socket.bufferedBytes() };
    return {};
  },
  buffered: ({ key }) => ({ buffered: sockets.get(key).socket.bufferedBytes() }),
  block: ({ ms }) => block(ms),
  turn: () => ({}),
};

const input = createInterface({ input: process.stdin });
input.on('line', async (line) => {
  const { id, op, ...wish } = JSON.parse(line);
  try {
    tell({ id, ...(await commands[op](wish)) });
  } catch (error) {
    tell({ id, error: { code: error.code, message: error.message } });
  }
});
input.on('close', () => process.exit(0));
tell({ event: 'ready', name: transport.name, origin: transport.origin, node: process.version });
