import type { Head, Reply } from './transport/transport.js';

/** A response that goes on until either side ends it. */
export class StreamedAnswer {
  /** Told once, when the client has gone or {@link close} was called. */
  onClose: () => void = () => {};
  /** The client takes bytes again. */
  onWritable: () => void = () => {};
  private isOver = false;

  constructor(
    private readonly reply: Reply,
    head: Head,
  ) {
    reply.begin(head, () => this.onWritable());
  }

  /** @returns false where the client does not keep up: all of it is kept, but write no more before `onWritable` */
  write(text: string): boolean {
    return !this.isOver && this.reply.write(text);
  }

  /** The client has gone. */
  gone(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.onClose();
  }

  /** Ends the answer where it stands: the client sees a broken connection, and comes back. */
  close(): void {
    if (!this.isOver) this.reply.close();
    this.gone();
  }
}
