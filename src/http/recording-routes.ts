import { checkRecordRequest, type RecordingService } from '../recording/recordings.js';
import type { RequestContext } from './request-context.js';

/** `/v1/calls/{id}/recording`: behind the control key. */
export class RecordingRoutes {
  constructor(private readonly recordings: RecordingService) {}

  /** `POST`: 201 and the new recording. */
  async start(context: RequestContext): Promise<void> {
    const request = checkRecordRequest(await context.readJson());
    context.json(201, await this.recordings.startRecording(context.parameter(0), request));
  }

  /** `GET`: 200 and the current recording. */
  async inspect(context: RequestContext): Promise<void> {
    context.json(200, await this.recordings.viewRecording(context.parameter(0)));
  }

  /** `DELETE`: 200 and the result, once the file is complete. */
  async stop(context: RequestContext): Promise<void> {
    const { error: _, ...result } = await this.recordings.stopRecording(context.parameter(0));
    context.json(200, result);
  }
}
