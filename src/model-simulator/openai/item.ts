import { randomBytes } from 'node:crypto';
import { PHONE_RATE } from '../../simulator/wav.js';
import { encodeAudio } from './audio-format.js';
import type { AudioFormat, ItemRequest } from './client-event.js';
import type { Speech } from './speech.js';

type Status = 'completed' | 'incomplete' | 'in_progress';
type Wire = Readonly<Record<string, unknown>>;

/** A unique id as the API makes them: `item_` and 21 letters or digits. */
export function newId(kind: 'conv' | 'event' | 'item' | 'resp' | 'sess' | 'call'): string {
  return `${kind}_${randomBytes(11).toString('hex').slice(0, 21)}`;
}

/** An item of the conversation. */
export abstract class Item {
  status: Status = 'completed';

  constructor(readonly id: string) {}

  abstract readonly type: 'message' | 'function_call' | 'function_call_output';

  /** What it says, for the model. */
  abstract readonly text: string;

  /** Seconds of audio that the model takes in with it. */
  get audioSeconds(): number {
    return 0;
  }

  /** Drops its audio to save memory; its text stays. */
  release(): void {}

  /** @param withAudio only `conversation.item.retrieve` gives the audio */
  toWire(withAudio = false): Wire {
    const { id, type, status } = this;
    return { id, object: 'realtime.item', type, status, ...this.content(withAudio) };
  }

  protected abstract content(withAudio: boolean): Wire;
}

/** Text that a client put into the conversation. */
export class TextMessage extends Item {
  readonly type = 'message';

  constructor(
    id: string,
    readonly role: 'user' | 'system' | 'assistant',
    readonly text: string,
  ) {
    super(id);
  }

  protected content(): Wire {
    const type = this.role === 'assistant' ? 'output_text' : 'input_text';
    return { role: this.role, content: [{ type, text: this.text }] };
  }
}

/** What the caller said. */
export class HeardMessage extends Item {
  readonly type = 'message';
  readonly role = 'user';
  private readonly samples: number;

  /**
   * @param pcm 8 kHz; `undefined` once it is released
   * @param text what the model has understood; empty if nothing
   * @param isTranscribed whether the session asks for transcripts of what it hears
   */
  constructor(
    id: string,
    private pcm: Int16Array | undefined,
    readonly text: string,
    private readonly format: AudioFormat,
    private readonly isTranscribed: boolean,
  ) {
    super(id);
    this.samples = pcm?.length ?? 0;
  }

  override get audioSeconds(): number {
    return this.samples / PHONE_RATE;
  }

  override release(): void {
    this.pcm = undefined;
  }

  protected content(withAudio: boolean): Wire {
    const { pcm, text, role, format } = this;
    const transcript = this.isTranscribed && withAudio ? text : null;
    const audio =
      withAudio && pcm !== undefined ? { audio: encodeAudio(pcm, format).toString('base64') } : {};
    return { role, content: [{ type: 'input_audio', transcript, ...audio }] };
  }
}

/** What the model says. */
export class SpokenMessage extends Item {
  readonly type = 'message';
  readonly role = 'assistant';
  override status: Status = 'in_progress';
  /** Whether its content part has been added. */
  hasContent = false;

  constructor(
    id: string,
    readonly speech: Speech,
    private readonly modality: 'audio' | 'text',
  ) {
    super(id);
  }

  get text(): string {
    return this.modality === 'audio' ? this.speech.heardText : this.speech.sentText;
  }

  override get audioSeconds(): number {
    return this.modality === 'audio' ? this.speech.heardMs / 1000 : 0;
  }

  override release(): void {
    if (this.status !== 'in_progress') this.speech.release();
  }

  /** Whether there is audio that could be cut. */
  get hasAudio(): boolean {
    return this.modality === 'audio' && this.speech.sentBytes > 0;
  }

  /** Its content part, as it is now. Documented: cutting the audio deletes the transcript. */
  part(withAudio = false): Wire {
    const { speech } = this;
    if (this.modality === 'text') return { type: 'output_text', text: speech.sentText };
    const transcript = speech.isCut ? {} : { transcript: speech.sentText };
    const audio = withAudio ? { audio: speech.heardBytes.toString('base64') } : {};
    return { type: 'output_audio', ...transcript, ...audio };
  }

  protected content(withAudio: boolean): Wire {
    return { role: this.role, content: this.hasContent ? [this.part(withAudio)] : [] };
  }
}

/** A tool that the model calls. */
export class FunctionCall extends Item {
  readonly type = 'function_call';

  /** @param json its arguments */
  constructor(
    id: string,
    readonly callId: string,
    readonly name: string,
    public json: string,
  ) {
    super(id);
  }

  get text(): string {
    return this.json;
  }

  protected content(): Wire {
    return { name: this.name, call_id: this.callId, arguments: this.json };
  }
}

/** What a tool has answered. */
export class FunctionCallOutput extends Item {
  readonly type = 'function_call_output';

  constructor(
    id: string,
    readonly callId: string,
    readonly text: string,
  ) {
    super(id);
  }

  protected content(): Wire {
    return { call_id: this.callId, output: this.text };
  }
}

/**
 * An item that a client adds. Of a message with several contents the texts count together.
 * @param hear makes a message of audio in the session's input format
 */
export function itemOf(request: ItemRequest, hear: (id: string, base64: string) => Item): Item {
  const { id = newId('item') } = request;
  switch (request.type) {
    case 'function_call':
      return new FunctionCall(id, request.call_id ?? newId('call'), request.name, request.arguments);
    case 'function_call_output':
      return new FunctionCallOutput(id, request.call_id, request.output);
    default: {
      const audio = request.content.find((part) => part.type === 'input_audio');
      if (audio !== undefined) return hear(id, audio.audio);
      const texts = request.content.map((part) => ('text' in part ? part.text : ''));
      return new TextMessage(id, request.role, texts.join('\n'));
    }
  }
}
