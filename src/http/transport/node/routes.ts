import type { Method, Reply, Request, Routes, SocketRoute } from '../transport.js';

type Handler = (request: Request, reply: Reply) => void;

/** The handlers of a path. */
interface PathEntry {
  readonly parts: readonly string[];
  readonly handlers: Partial<Record<Method | 'any', Handler>>;
  socket?: SocketRoute<unknown>;
}

/** The handlers of a matched path, and the values of its parameters. */
export interface Found<T> {
  readonly leadsTo: T;
  readonly parameters: readonly string[];
}

const isParameter = (part: string) => part.startsWith(':');

/** Finds handlers by path, then by method. */
export class NodeRoutes implements Routes {
  /** Paths without parameters. */
  private readonly fixed = new Map<string, PathEntry>();
  /** Paths with parameters, the more specific ones first. */
  private patterns: PathEntry[] = [];
  private readonly rest: PathEntry = { parts: [], handlers: {} };

  on(method: Method | 'any', path: string, handler: Handler): void {
    this.place(path).handlers[method] = handler;
  }

  socket<T>(path: string, route: SocketRoute<T>): void {
    this.place(path).socket = route as SocketRoute<unknown>;
  }

  /** @param method in lower case */
  handlerOf(method: string, path: string): Found<Handler> | undefined {
    const key = (method === 'delete' ? 'del' : method) as Method;
    return this.find(path, ({ handlers }) => (Object.hasOwn(handlers, key) ? handlers[key] : handlers.any));
  }

  socketOf(path: string): Found<SocketRoute<unknown>> | undefined {
    return this.find(path, ({ socket }) => socket);
  }

  knows(path: string): boolean {
    const parts = path.split('/', MAX_PARTS);
    return this.fixed.has(path) || this.patterns.some((place) => matched(place.parts, parts) !== undefined);
  }

  private find<T>(path: string, what: (place: PathEntry) => T | undefined): Found<T> | undefined {
    const fixed = this.fixed.get(path);
    const there = fixed && what(fixed);
    if (there !== undefined) return { leadsTo: there, parameters: [] };
    const parts = path.split('/', MAX_PARTS);
    for (const place of this.patterns) {
      const parameters = matched(place.parts, parts);
      const here = parameters && what(place);
      if (parameters !== undefined && here !== undefined) return { leadsTo: here, parameters };
    }
    const last = what(this.rest);
    return last && { leadsTo: last, parameters: [] };
  }

  private place(path: string): PathEntry {
    if (path === '/*') return this.rest;
    const parts = path.split('/');
    if (!parts.some(isParameter)) {
      const place = this.fixed.get(path) ?? { parts, handlers: {} };
      this.fixed.set(path, place);
      return place;
    }
    const known = this.patterns.find((place) => place.parts.join('/') === path);
    if (known !== undefined) return known;
    const place = { parts, handlers: {} };
    this.patterns = [...this.patterns, place].sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
    return place;
  }
}

/** No route has more. */
const MAX_PARTS = 32;

/** Sorts parameters after fixed parts. */
function rank({ parts }: PathEntry): string {
  return parts.map((part) => (isParameter(part) ? '\uffff' : part)).join('/');
}

/** The values of a pattern's parameters; `undefined` if the path does not match. */
function matched(pattern: readonly string[], parts: readonly string[]): string[] | undefined {
  if (pattern.length !== parts.length) return undefined;
  const parameters: string[] = [];
  for (const [i, wanted] of pattern.entries()) {
    const part = parts[i] as string;
    if (isParameter(wanted) && part !== '') parameters.push(part);
    else if (wanted !== part) return undefined;
  }
  return parameters;
}
