import { ApiError } from './api-error.js';
import { defaultSettings } from './call-settings.js';
import type { ApiHandler, CoordinatorParts } from './coordinator.js';
import type { Router } from './router.js';
import type { UserFields } from './users.js';

/** What servers ask about an app and its users. */
export function addUserRoutes(router: Router<ApiHandler>, { app }: CoordinatorParts): void {
  const forServer =
    (handler: ApiHandler): ApiHandler =>
    (request) => {
      if (request.caller.userId !== undefined) {
        throw ApiError.notAllowed(`User '${request.caller.userId}' is not allowed to perform the action`);
      }
      return handler(request);
    };

  const showUsers = (ids: readonly string[]) =>
    Object.fromEntries(ids.map((id) => [id, app.users.show(id)] as const));

  router
    .add(
      'GET',
      '/api/v2/app',
      forServer(() => ({ app: { name: 'double', call_types: callTypes() }, duration: '0.00ms' })),
    )
    .add(
      'GET',
      '/api/v2/video/calltypes',
      forServer(() => ({ call_types: callTypes(), duration: '0.00ms' })),
    )
    .add(
      'POST',
      '/api/v2/users',
      forServer(({ body }) => {
        const users = Object.values((body.users ?? {}) as Record<string, UserFields>);
        for (const fields of users) app.users.upsert(fields);
        return {
          users: showUsers(users.map(({ id }) => id)),
          duration: '0.00ms',
          membership_deletion_task_id: '',
        };
      }),
    )
    .add(
      'PATCH',
      '/api/v2/users',
      forServer(({ body }) => {
        const patches = (body.users ?? []) as {
          id: string;
          set?: Record<string, unknown>;
          unset?: string[];
        }[];
        for (const { id, set = {}, unset = [] } of patches) app.users.patch(id, set, unset);
        return {
          users: showUsers(patches.map(({ id }) => id)),
          duration: '0.00ms',
          membership_deletion_task_id: '',
        };
      }),
    );

  function callTypes() {
    const now = new Date().toISOString();
    return Object.fromEntries(
      [...app.callTypes].map((name) => [
        name,
        {
          name,
          created_at: now,
          updated_at: now,
          settings: defaultSettings(),
          grants: {},
          notification_settings: {},
        },
      ]),
    );
  }
}
