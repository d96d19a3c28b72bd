/** What is read of an event of OpenAI's server. Source: developers.openai.com/api/reference/resources/realtime. */
export interface ServerEvent {
  readonly type: string;
  readonly item_id: string;
  /** Only in what a response consists of. */
  readonly response_id?: string;
  readonly delta: string;
  readonly transcript: string;
  readonly response: ModelResponse;
  readonly error: EventError;
}

export interface ModelResponse {
  readonly id: string;
  readonly status: string;
  readonly status_details?: { readonly error?: EventError } | null;
  readonly output: readonly OutputItem[];
}

export interface OutputItem {
  readonly type: string;
  readonly name: string;
  readonly call_id: string;
  /** JSON. */
  readonly arguments: string;
}

export interface EventError {
  readonly type?: string;
  readonly code?: string | null;
}
