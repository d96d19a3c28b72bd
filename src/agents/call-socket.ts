import WebSocket from 'ws';
import { type Clock, systemClock } from '../clock.js';
import { closeReason, GatewayError } from '../errors.js';
import { MAX_AUDIO_BYTES, parseLegEvent } from '../legs/leg-messages.js';
import { bufferOf } from '../media/arguments.js';
import { AgentCall } from './agent-call.js';

/** A gateway sends at most so much in one message. */
export const MAX_MESSAGE_BYTES = 2 * MAX_AUDIO_BYTES;
/** A gateway that reads nothing while this much waits is gone. */
const MAX_UNSENT_BYTES = 32 * 1024 * 1024;
/** Longest wait for `ready`. */
const READY_MS = 10_000;
/** A gateway pings twice a second, or sends audio. After so long without either it is gone. */
const SILENT_MS = 30_000;

/**
 * The call at the other end of a WebSocket, once the gateway has said `ready`. Add listeners before you await anything else.
 * @throws GatewayError `GW_AGENT_UNREACHABLE` if it does not, or the socket closes first
 */
export function callOn(socket: WebSocket, clock: Clock = systemClock): Promise<AgentCall> {
  return new Promise((resolve, reject) => {
    let call: AgentCall | undefined;
    /** What came with `ready`: it waits until whoever awaits the call has its listeners. */
    let early: (string | Buffer)[] | undefined;
    let heard = true;
    const fail = (why: string) => {
      patience.cancel();
      reject(new GatewayError('GW_AGENT_UNREACHABLE', `The gateway ${why}`));
      socket.terminate();
    };
    const patience = clock.timeout(READY_MS, () => fail('sent no ready in time'));
    const watch = clock.every(SILENT_MS, () => {
      if (!heard) socket.terminate();
      heard = false;
    });
    watch.unref();
    socket.on('ping', () => {
      heard = true;
    });
    socket.on('message', (data: Buffer, isBinary) => {
      heard = true;
      if (call !== undefined) {
        const message = isBinary ? data : data.toString();
        if (early === undefined) call.handleMessage(message);
        else early.push(message);
        return;
      }
      const ready = isBinary ? undefined : parseLegEvent(data.toString());
      if (ready?.type !== 'ready') {
        fail('did not send ready first');
        return;
      }
      patience.cancel();
      const made = new AgentCall(endOf(socket), ready);
      call = made;
      early = [];
      setImmediate(() => {
        const messages = early ?? [];
        early = undefined;
        for (const message of messages) made.handleMessage(message);
      });
      resolve(made);
    });
    socket.on('close', (code, reason) => {
      clock.cancel(watch);
      if (call === undefined) fail(`closed the connection (${code})`);
      else call.closed(code, reason.toString());
    });
    // The close follows.
    socket.on('error', () => {});
  });
}

function endOf(socket: WebSocket) {
  return {
    send(message: string | Int16Array) {
      if (socket.readyState !== WebSocket.OPEN) return;
      if (socket.bufferedAmount > MAX_UNSENT_BYTES) socket.terminate();
      else if (typeof message === 'string') socket.send(message);
      // Copied: the memory is only lent, and may be written to before it is sent.
      else socket.send(Buffer.from(bufferOf(message)));
    },
    close(code: number, reason: string) {
      socket.close(code, closeReason(reason));
    },
  };
}
