import { ApiError } from './api-error.js';
import type { CallFields, CallState } from './call-state.js';
import type { ApiHandler, ApiRequest, CoordinatorParts } from './coordinator.js';
import type { Router } from './router.js';

/** Parameters of getting, creating and joining a call. */
interface CallBody {
  readonly data?: CallFields & {
    readonly created_by_id?: string;
    readonly created_by?: { readonly id: string };
  };
  readonly ring?: boolean;
  readonly watch?: boolean;
}

interface JoinBody extends CallBody {
  readonly location?: string;
  readonly create?: boolean;
  readonly migrating_from?: string;
  readonly migrating_from_list?: readonly string[];
}

/** Largest custom event. */
const MAX_EVENT = 5 * 1024;
const DONE = { duration: '0.00ms' };

/** What clients and servers ask about calls. */
export function addCallRoutes(router: Router<ApiHandler>, parts: CoordinatorParts): void {
  const { app, sockets, faults, sfu, calls } = parts;

  const find = ({ parameters }: ApiRequest): CallState =>
    app.find(parameters.type as string, parameters.id as string);

  /** Who does it: the client's user, or whom a server names. */
  const actor = ({ caller, body }: ApiRequest, field = 'user_id'): string => {
    if (caller.userId !== undefined) return caller.userId;
    const named = body[field];
    if (typeof named !== 'string')
      throw ApiError.input(`${field} is required with server-side authentication`);
    app.users.require([named], 'Request');
    return named;
  };

  /** Whoever asks with a connection gets the call's events on it. */
  const watch = ({ caller, query }: ApiRequest, call: CallState): void => {
    const id = query.get('connection_id');
    if (id !== null && caller.userId !== undefined && sockets.userOf(id) === caller.userId) {
      call.watchers.add(id);
    }
  };

  const getOrCreate = (request: ApiRequest): { call: CallState; created: boolean } => {
    const { type, id } = request.parameters as { type: string; id: string };
    const { data = {} } = request.body as CallBody;
    app.users.require(
      (data.members ?? []).map((member) => member.user_id),
      'GetOrCreateCall',
    );
    const known = app.calls.get(`${type}:${id}`);
    if (known !== undefined) return { call: known, created: false };
    const createdBy = request.caller.userId ?? data.created_by_id ?? data.created_by?.id;
    if (createdBy === undefined) {
      throw ApiError.input('GetOrCreateCall failed with error: "created_by or created_by_id is required"');
    }
    const call = app.create(type, id, createdBy);
    call.apply(data);
    tellMembers(call, 'call.created');
    return { call, created: true };
  };

  const tellMembers = (call: CallState, type: string): void =>
    sockets.tell([...call.members.keys()], call, { type, call, members: call.membersJson() });

  const ring = (call: CallState, userId: string): void => {
    const others = [...call.members.keys()].filter((id) => id !== userId);
    sockets.tell(others, call, {
      type: 'call.ring',
      call,
      members: call.membersJson(),
      session_id: call.begin().id,
      user: app.users.show(userId),
      video: false,
    });
  };

  const answerRing = (request: ApiRequest, kind: 'accepted' | 'rejected'): object => {
    const call = find(request);
    const userId = actor(request);
    const session = call.begin();
    session[kind === 'accepted' ? 'acceptedBy' : 'rejectedBy'][userId] = new Date().toISOString();
    const event = { type: `call.${kind}`, call, user: app.users.show(userId), reason: request.body.reason };
    sockets.broadcast(call, event);
    return DONE;
  };

  const join = async (request: ApiRequest): Promise<object> => {
    const body = request.body as JoinBody;
    const userId = actor(request);
    if (body.location === undefined)
      throw ApiError.input('JoinCall failed with error: "location is required"');
    const delay = faults.takeDelay();
    if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
    const { call, created } =
      body.create === true ? getOrCreate(request) : { call: find(request), created: false };
    refuseOutsiders(call, userId, 'JoinCall');
    if (!created) call.apply(body.data ?? {});
    watch(request, call);
    call.begin();
    if (body.ring === true) ring(call, userId);
    const { migrating_from: from, migrating_from_list: list = from === undefined ? [] : [from] } = body;
    return {
      ...call.envelope(userId),
      created,
      credentials: sfu.credentials(call.cid, userId, list),
      stats_options: { enable_rtc_stats: false, reporting_interval_ms: 10_000 },
    };
  };

  const userNamed = ({ body }: ApiRequest): string => {
    const { user_id: userId } = body;
    if (typeof userId !== 'string') throw ApiError.input('user_id is required');
    app.users.require([userId], 'Request');
    return userId;
  };

  const both = (method: string, path: string, handler: ApiHandler): void => {
    router.add(method, `/api/v2/video${path}`, handler).add(method, `/video${path}`, handler);
  };
  const ofCall = '/call/:type/:id';

  both('POST', ofCall, (request) => {
    const body = request.body as CallBody;
    const { call, created } = getOrCreate(request);
    watch(request, call);
    if (body.ring === true) ring(call, request.caller.userId ?? call.createdBy);
    return { ...call.envelope(), created };
  });
  both('GET', ofCall, (request) => {
    const call = find(request);
    watch(request, call);
    return call.envelope();
  });
  both('PATCH', ofCall, (request) => {
    const call = find(request);
    call.apply(request.body as CallFields);
    sockets.broadcast(call, {
      type: 'call.updated',
      call,
      capabilities_by_role: { user: call.capabilities },
    });
    return call.envelope();
  });
  router.add('POST', `/video${ofCall}/join`, join);
  both('POST', `${ofCall}/mark_ended`, (request) => {
    calls.end(find(request), request.caller.userId);
    return DONE;
  });
  both('POST', `${ofCall}/delete`, (request) => {
    const call = find(request);
    calls.end(call, request.caller.userId);
    app.calls.delete(call.cid);
    return { call, ...DONE };
  });
  both('POST', `${ofCall}/event`, (request) => {
    const call = find(request);
    const { custom = {} } = request.body;
    if (Buffer.byteLength(JSON.stringify(custom)) > MAX_EVENT) {
      throw ApiError.input('SendEvent failed with error: "custom event data size exceeds 5KB"');
    }
    const user = app.users.show(actor(request));
    sockets.broadcast(call, { type: 'custom', custom, user });
    return DONE;
  });
  both('POST', `${ofCall}/members`, (request) => {
    const call = find(request);
    const body = request.body as { update_members?: CallFields['members']; remove_members?: string[] };
    const members = body.update_members ?? [];
    app.users.require(
      members.map((member) => member.user_id),
      'UpdateCallMembers',
    );
    call.apply({ members });
    for (const id of body.remove_members ?? []) call.members.delete(id);
    tellMembers(call, 'call.member_updated');
    return { members: call.membersJson(), ...DONE };
  });
  both('POST', `${ofCall}/kick`, (request) => {
    const call = find(request);
    const userId = userNamed(request);
    const by = request.caller.userId ?? (request.body.kicked_by_id as string | undefined);
    if (request.body.block === true) call.blockedUserIds.add(userId);
    calls.remove(call, userId, by, 'kicked');
    return DONE;
  });
  both('POST', `${ofCall}/block`, (request) => {
    const call = find(request);
    const userId = userNamed(request);
    call.blockedUserIds.add(userId);
    calls.remove(call, userId, request.caller.userId, 'blocked');
    return DONE;
  });
  both('POST', `${ofCall}/unblock`, (request) => {
    const call = find(request);
    const userId = userNamed(request);
    call.blockedUserIds.delete(userId);
    sockets.broadcast(call, { type: 'call.unblocked_user', user: app.users.show(userId) });
    return DONE;
  });
  both('POST', `${ofCall}/mute_users`, (request) => {
    const call = find(request);
    const { user_ids: ids = [], mute_all_users: all } = request.body as {
      user_ids?: string[];
      mute_all_users?: boolean;
    };
    const muted = all === true ? [] : ids;
    const from_user_id = request.caller.userId ?? (request.body.muted_by_id as string | undefined) ?? '';
    sockets.broadcast(call, { type: 'call.user_muted', from_user_id, muted_user_ids: muted, reason: '' });
    sfu.mute(call.cid, (userId) => (all === true ? userId !== request.caller.userId : ids.includes(userId)));
    return DONE;
  });
  both('POST', `${ofCall}/user_permissions`, (request) => {
    const call = find(request);
    const userId = userNamed(request);
    const { grant_permissions: granted = [], revoke_permissions: revoked = [] } = request.body as {
      grant_permissions?: string[];
      revoke_permissions?: string[];
    };
    const taken = call.revoked.get(userId) ?? new Set();
    call.revoked.set(userId, taken);
    for (const permission of revoked) taken.add(permission);
    for (const permission of granted) taken.delete(permission);
    sockets.broadcast(call, {
      type: 'call.permissions_updated',
      user: app.users.show(userId),
      own_capabilities: call.capabilitiesOf(userId),
    });
    return DONE;
  });
  router.add('POST', `/video${ofCall}/accept`, (request) => answerRing(request, 'accepted'));
  router.add('POST', `/video${ofCall}/reject`, (request) => answerRing(request, 'rejected'));
  both('POST', `${ofCall}/ring`, (request) => {
    const call = find(request);
    ring(call, request.caller.userId ?? call.createdBy);
    return { members_ids: [...call.members.keys()], ...DONE };
  });
  both('POST', '/calls', (request) => {
    const { filter_conditions: filter = {}, watch: isWatching } = request.body as {
      filter_conditions?: { cid?: { $in?: string[] } | string };
      watch?: boolean;
    };
    const { cid } = filter;
    const wanted = typeof cid === 'string' ? [cid] : cid?.$in;
    const calls = [...app.calls.values()].filter((call) => wanted === undefined || wanted.includes(call.cid));
    for (const call of calls) if (isWatching === true) watch(request, call);
    return { calls: calls.map((call) => call.envelope()), ...DONE };
  });
  router.add('POST', '/video/call_client_event', () => DONE);
  router.add('GET', '/video/edges', () => ({ edges: [], ...DONE }));
  router.add('GET', '/video/devices', () => ({ devices: [], ...DONE }));
}

function refuseOutsiders(call: CallState, userId: string, operation: string): void {
  const forbid = (action: string) =>
    ApiError.notAllowed(
      `${operation} failed with error: "User '${userId}' with role 'user' is not allowed to perform action ` +
        `${action} in scope 'video:${call.type}'"`,
    );
  if (call.endedAt !== undefined) throw forbid('JoinEndedCall');
  if (call.blockedUserIds.has(userId)) throw forbid('JoinCall');
}
