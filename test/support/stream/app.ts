import { ApiError } from './api-error.js';
import { CallState } from './call-state.js';
import { Users } from './users.js';

/** Call types that every app on Stream has. */
const CALL_TYPES = ['default', 'audio_room', 'livestream', 'development'];
const NAME = /^[A-Za-z0-9_-]{1,64}$/;

/** What Stream keeps for one customer: keys, users, calls. */
export class StreamApp {
  readonly users = new Users();
  readonly calls = new Map<string, CallState>();
  readonly callTypes: ReadonlySet<string>;

  constructor(
    readonly apiKey: string,
    readonly apiSecret: string,
    callTypes: readonly string[] = [],
  ) {
    this.callTypes = new Set([...CALL_TYPES, ...callTypes]);
  }

  find(type: string, id: string): CallState {
    this.checkName(type, id);
    const call = this.calls.get(`${type}:${id}`);
    if (call === undefined) {
      throw ApiError.notFound(`GetCall failed with error: "Can't find call with id ${type}:${id}"`);
    }
    return call;
  }

  create(type: string, id: string, createdBy: string): CallState {
    this.checkName(type, id);
    this.users.require([createdBy], 'GetOrCreateCall');
    const call = new CallState(type, id, createdBy, this.users);
    this.calls.set(call.cid, call);
    return call;
  }

  private checkName(type: string, id: string): void {
    for (const [what, name] of [
      ['type', type],
      ['id', id],
    ] as const) {
      if (!NAME.test(name)) {
        throw ApiError.input(
          `GetOrCreateCall failed with error: "${what} must be 1 to 64 characters of a-z, A-Z, 0-9, _ and -"`,
        );
      }
    }
    if (!this.callTypes.has(type)) {
      throw ApiError.notFound(`GetOrCreateCall failed with error: "call type ${type} does not exist"`);
    }
  }
}
