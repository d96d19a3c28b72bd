/** Where this tab keeps the control key. */
export const KEY = 'key';

/**
 * Asks the control API.
 * @param {string} method
 * @param {string} path below the gateway's own
 * @param {object} [body] sent as JSON
 * @returns {Promise<object>} the answer
 * @throws {Error} with the gateway's message
 */
export async function request(method, path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: { authorization: `Bearer ${sessionStorage.getItem(KEY)}` },
      cache: 'no-store',
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch {
    throw new Error('The gateway does not answer.');
  }
  const json = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(json.error?.message ?? `The gateway answered ${answer.status}.`);
  return json;
}

/** @param {string} callId */
export const callPath = (callId) => `v1/calls/${encodeURIComponent(callId)}`;
