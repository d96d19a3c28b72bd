import { randomUUID } from 'node:crypto';

/** The browser's `MediaStreamTrack`, as far as audio and the Stream client need it. */
export class MediaTrack extends EventTarget {
  readonly kind = 'audio';
  readonly label = '';
  readonly muted = false;
  readonly id: string;
  enabled = true;
  readyState: 'live' | 'ended' = 'live';

  constructor(id: string = randomUUID()) {
    super();
    this.id = id;
  }

  /** Ends it for good: it is silent from now on. As in browsers, without an event. */
  stop(): void {
    this.readyState = 'ended';
  }

  clone(): MediaTrack {
    throw new Error('Only tracks of a source can be cloned');
  }

  getSettings(): object {
    return {};
  }

  getConstraints(): object {
    return {};
  }

  async applyConstraints(): Promise<void> {}
}

/** The browser's `MediaStream`, as far as audio and the Stream client need it. */
export class MediaStream extends EventTarget {
  readonly id: string;
  private readonly tracks: MediaTrack[];

  constructor(tracks: readonly MediaTrack[] = [], id: string = randomUUID()) {
    super();
    this.tracks = [...tracks];
    this.id = id;
  }

  get active(): boolean {
    return this.tracks.some(({ readyState }) => readyState === 'live');
  }

  getTracks(): MediaTrack[] {
    return [...this.tracks];
  }

  getAudioTracks(): MediaTrack[] {
    return [...this.tracks];
  }

  getVideoTracks(): MediaTrack[] {
    return [];
  }

  getTrackById(id: string): MediaTrack | null {
    return this.tracks.find((track) => track.id === id) ?? null;
  }

  addTrack(track: MediaTrack): void {
    if (!this.tracks.includes(track)) this.tracks.push(track);
  }

  removeTrack(track: MediaTrack): void {
    const at = this.tracks.indexOf(track);
    if (at >= 0) this.tracks.splice(at, 1);
  }

  clone(): MediaStream {
    return new MediaStream(this.tracks.map((track) => track.clone()));
  }
}
