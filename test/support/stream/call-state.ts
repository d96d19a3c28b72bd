import { randomUUID } from 'node:crypto';
import { type CallSettings, defaultSettings, overrideSettings } from './call-settings.js';
import type { Users } from './users.js';

/** Somebody in a call's session, as the coordinator knows it. */
export interface SessionParticipant {
  readonly userId: string;
  readonly sessionId: string;
  readonly joinedAt: string;
}

/** From the first who joins until everybody has been gone for a while. */
export interface CallSession {
  readonly id: string;
  readonly startedAt: string;
  /** By session id of the participant. */
  readonly participants: Map<string, SessionParticipant>;
  readonly acceptedBy: Record<string, string>;
  readonly rejectedBy: Record<string, string>;
}

/** What a user may do in a call of type `default`. */
const CAPABILITIES = [
  'block-users',
  'create-call',
  'create-reaction',
  'enable-noise-cancellation',
  'end-call',
  'join-backstage',
  'join-call',
  'kick-user',
  'mute-users',
  'pin-for-everyone',
  'read-call',
  'remove-call-member',
  'screenshare',
  'send-audio',
  'send-video',
  'update-call',
  'update-call-member',
];

/** The fields of a call that a request may set. */
export interface CallFields {
  readonly custom?: Readonly<Record<string, unknown>>;
  readonly members?: readonly { readonly user_id: string; readonly role?: string }[];
  readonly settings_override?: unknown;
}

/** A call as the coordinator knows it. */
export class CallState {
  readonly createdAt = new Date().toISOString();
  updatedAt = this.createdAt;
  endedAt: string | undefined;
  custom: Record<string, unknown> = {};
  readonly settings: CallSettings = defaultSettings();
  /** Role by user id. */
  readonly members = new Map<string, string>();
  readonly blockedUserIds = new Set<string>();
  /** Coordinator connections that get the call's events. */
  readonly watchers = new Set<string>();
  /** Capabilities of those who join; a test may remove some. */
  capabilities: string[] = [...CAPABILITIES];
  /** Capabilities denied to a user. */
  readonly revoked = new Map<string, Set<string>>();
  session: CallSession | undefined;

  constructor(
    readonly type: string,
    readonly id: string,
    readonly createdBy: string,
    private readonly users: Users,
  ) {}

  get cid(): string {
    return `${this.type}:${this.id}`;
  }

  apply(fields: CallFields): void {
    this.custom = { ...this.custom, ...fields.custom };
    for (const member of fields.members ?? []) this.members.set(member.user_id, member.role ?? 'user');
    overrideSettings(this.settings, fields.settings_override);
    this.updatedAt = new Date().toISOString();
  }

  /** The session, a new one if there is none. */
  begin(): CallSession {
    this.session ??= {
      id: randomUUID(),
      startedAt: new Date().toISOString(),
      participants: new Map(),
      acceptedBy: {},
      rejectedBy: {},
    };
    return this.session;
  }

  /** The call as the API shows it. */
  toJSON() {
    return {
      backstage: false,
      blocked_user_ids: [...this.blockedUserIds],
      captioning: false,
      cid: this.cid,
      created_at: this.createdAt,
      created_by: this.users.show(this.createdBy),
      current_session_id: this.session?.id ?? '',
      custom: this.custom,
      egress: { broadcasting: false, rtmps: [] },
      ...(this.endedAt === undefined ? {} : { ended_at: this.endedAt }),
      id: this.id,
      ingress: { rtmp: { address: '' }, srt: { address: '' }, whip: { address: '' } },
      recording: false,
      ...(this.session === undefined ? {} : { session: this.sessionJson(this.session) }),
      settings: this.settings,
      transcribing: false,
      translating: false,
      type: this.type,
      updated_at: this.updatedAt,
    };
  }

  membersJson() {
    return [...this.members].map(([userId, role]) => ({
      user_id: userId,
      user: this.users.show(userId),
      role,
      custom: {},
      created_at: this.createdAt,
      updated_at: this.updatedAt,
    }));
  }

  capabilitiesOf(userId: string | undefined): string[] {
    const revoked = this.revoked.get(userId ?? '');
    return this.capabilities.filter((one) => !revoked?.has(one));
  }

  /** The answer to most requests about a call, as a user gets it. */
  envelope(userId?: string) {
    return {
      call: this.toJSON(),
      members: this.membersJson(),
      own_capabilities: this.capabilitiesOf(userId),
      duration: '0.00ms',
    };
  }

  participantJson({ userId, sessionId, joinedAt }: SessionParticipant) {
    return {
      user: this.users.show(userId),
      user_session_id: sessionId,
      role: this.members.get(userId) ?? 'user',
      joined_at: joinedAt,
    };
  }

  private sessionJson(session: CallSession) {
    const participants = [...session.participants.values()].map((one) => this.participantJson(one));
    const byRole: Record<string, number> = {};
    for (const { role } of participants) byRole[role] = (byRole[role] ?? 0) + 1;
    return {
      id: session.id,
      started_at: session.startedAt,
      participants,
      participants_count_by_role: byRole,
      anonymous_participant_count: 0,
      accepted_by: session.acceptedBy,
      rejected_by: session.rejectedBy,
      missed_by: {},
    };
  }
}
