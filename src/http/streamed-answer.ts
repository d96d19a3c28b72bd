import type { Head, Reply } from './transport/transport.js';

/** A response that lasts until either side ends it. */
export class StreamedAnswer {
  /** Called once, when the client has left or after {@link close}. */
  onClose: () => void = () => {};
  /** Called when the client reads again. */
  onWritable: () => void = () => {};
  private isOver = false;

  constructor(
    private readonly reply: Reply,
    head: Head,
  ) {
    reply.begin(head, () => this.onWritable());
  }

  /** @returns false if the client does not keep up: the text is kept, but write no more before `onWritable` */
  write(text: string): boolean {
    return !this.isOver && this.reply.write(text);
  }

  /** Call it when the client has left. */
  gone(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.onClose();
  }

  /** Breaks the answer off: the client sees a broken connection and reconnects. */
  close(): void {
    if (!this.isOver) this.reply.close();
    this.gone();
  }
}
