/** A change in what a call's agent does. */
export interface AgentState {
  /** As logs name it: a URL without query, a model, or a name. */
  readonly agent: string;
  readonly state: 'connected' | 'lost' | 'failed';
  /** Number of the connection: more than 1 after a loss. */
  readonly connection?: number;
  /** Milliseconds since the dialling began, or since the loss. */
  readonly afterMs?: number;
  /** Why it was lost or failed. */
  readonly reason?: string;
}
