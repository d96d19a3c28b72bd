/** What is read of a message of Gemini's server; any of it may come together. Source: ai.google.dev/api/live. */
export interface ServerMessage {
  readonly setupComplete?: object;
  readonly serverContent?: ServerContent;
  readonly toolCall?: { readonly functionCalls?: readonly ModelFunctionCall[] };
  /** The caller has interrupted: nobody waits for these any longer. */
  readonly toolCallCancellation?: { readonly ids?: readonly string[] };
  /** The connection ends soon. */
  readonly goAway?: object;
  readonly sessionResumptionUpdate?: { readonly newHandle?: string; readonly resumable?: boolean };
}

export interface ServerContent {
  readonly modelTurn?: { readonly parts?: readonly { readonly inlineData?: { readonly data: string } }[] };
  readonly inputTranscription?: { readonly text?: string };
  readonly outputTranscription?: { readonly text?: string };
  readonly interrupted?: boolean;
  readonly generationComplete?: boolean;
  readonly turnComplete?: boolean;
}

export interface ModelFunctionCall {
  readonly id: string;
  readonly name: string;
  readonly args?: object;
}
