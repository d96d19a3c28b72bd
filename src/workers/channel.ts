/** The way to a process at the other end of an IPC channel. */
export interface Channel {
  /** Sends a JSON value, in order. False if the other side is gone, or does not read. */
  send(message: unknown): boolean;
}

/** Most messages on their way to a process that does not read; further ones are dropped, until it is found stuck. */
const MAX_UNREAD = 20_000;

/** @param post sends by the channel, and calls back when the message has left */
export function boundedChannel(
  isConnected: () => boolean,
  post: (message: unknown, onLeft: () => void) => void,
): Channel {
  let unread = 0;
  const onLeft = () => {
    unread -= 1;
  };
  return {
    send(message) {
      if (!isConnected() || unread >= MAX_UNREAD) return false;
      unread += 1;
      post(message, onLeft);
      return true;
    },
  };
}
