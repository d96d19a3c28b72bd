import { ApiError } from './api-error.js';

/** A user as the API shows it. */
export interface User {
  readonly id: string;
  readonly name?: string | undefined;
  readonly image?: string | undefined;
  readonly role: string;
  readonly custom: Readonly<Record<string, unknown>>;
  readonly created_at: string;
  readonly updated_at: string;
}

/** The writable fields of a user. Unknown ones go into `custom`. */
export interface UserFields {
  readonly id: string;
  readonly name?: string | undefined;
  readonly image?: string | undefined;
  readonly role?: string | undefined;
  readonly custom?: Readonly<Record<string, unknown>> | undefined;
}

const ID = /^[A-Za-z0-9_@-]{1,255}$/;

/** The users of an app. */
export class Users {
  private readonly users = new Map<string, User>();

  find(id: string): User | undefined {
    return this.users.get(id);
  }

  /** A user for an event or a call, which was known once. */
  show(id: string): Record<string, unknown> {
    const user = this.users.get(id) ?? blank(id);
    return { ...user, teams: [], language: '', blocked_user_ids: [] };
  }

  upsert(fields: UserFields): User {
    checkId(fields.id);
    const known = this.users.get(fields.id) ?? blank(fields.id);
    const user: User = {
      ...known,
      name: fields.name ?? known.name,
      image: fields.image ?? known.image,
      role: fields.role ?? known.role,
      custom: { ...known.custom, ...fields.custom },
      updated_at: new Date().toISOString(),
    };
    this.users.set(user.id, user);
    return user;
  }

  /** A partial update of a known user: fields to set and to remove. */
  patch(id: string, set: Readonly<Record<string, unknown>>, unset: readonly string[]): User {
    checkId(id);
    const known = this.users.get(id);
    if (known === undefined) {
      throw ApiError.notFound(`UpdateUsersPartial failed with error: "user with id ${id} not found"`);
    }
    const { name = known.name, image = known.image, role = known.role, ...rest } = set;
    const custom: Record<string, unknown> = { ...known.custom, ...rest };
    for (const key of unset) delete custom[key];
    const user = { ...known, name, image, role, custom, updated_at: new Date().toISOString() } as User;
    this.users.set(id, user);
    return user;
  }

  /** Refuses what names somebody unknown, in Stream's words. */
  require(ids: readonly string[], operation: string): void {
    const unknown = ids.filter((id) => !this.users.has(id));
    if (unknown.length === 0) return;
    throw ApiError.input(
      `${operation} failed with error: "The following users are involved in call create operation, but don't ` +
        `exist: [${unknown.join(' ')}]. Please create the user objects before setting up the call."`,
    );
  }
}

function checkId(id: unknown): void {
  if (typeof id === 'string' && ID.test(id)) return;
  throw ApiError.input(
    `UpdateUsers failed with error: "user.id ${JSON.stringify(id)} can only contain a-z, 0-9, @, _ and - ` +
      'and be at most 255 characters long"',
  );
}

function blank(id: string): User {
  const now = new Date().toISOString();
  return { id, role: 'user', custom: {}, created_at: now, updated_at: now };
}
