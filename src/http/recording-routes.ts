import { checkRecordRequest, type RecordingService } from '../recording/recordings.js';
import type { Exchange } from './request-context.js';

/** `/v1/calls/{id}/recording`: behind the control key. */
export class RecordingRoutes {
  constructor(private readonly recordings: RecordingService) {}

  /** `POST`: 201 and the recording that has begun. */
  async start(exchange: Exchange): Promise<void> {
    const request = checkRecordRequest(await exchange.readJson());
    exchange.json(201, await this.recordings.startRecording(exchange.parameter(0), request));
  }

  /** `GET`: 200 and how it is. */
  async inspect(exchange: Exchange): Promise<void> {
    exchange.json(200, await this.recordings.viewRecording(exchange.parameter(0)));
  }

  /** `DELETE`: 200 and what it came to, once its file is whole. */
  async stop(exchange: Exchange): Promise<void> {
    const { error: _, ...result } = await this.recordings.stopRecording(exchange.parameter(0));
    exchange.json(200, result);
  }
}
