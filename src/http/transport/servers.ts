/** What `SERVER` may say. */
export const SERVERS = ['auto', 'uws', 'node'] as const;
export type ServerChoice = (typeof SERVERS)[number];
