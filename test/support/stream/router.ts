/** What a route answers for, and by what name its requests are counted. */
export interface Route<Handler> {
  readonly name: string;
  readonly handler: Handler;
  readonly parameters: Readonly<Record<string, string>>;
}

interface Pattern<Handler> {
  readonly name: string;
  readonly method: string;
  readonly segments: readonly string[];
  readonly handler: Handler;
}

/** Finds the handler of a request by method and path; `:name` stands for any one segment. */
export class Router<Handler> {
  private readonly patterns: Pattern<Handler>[] = [];

  add(method: string, path: string, handler: Handler): this {
    this.patterns.push({ name: `${method} ${path}`, method, segments: path.split('/'), handler });
    return this;
  }

  match(method: string, path: string): Route<Handler> | undefined {
    const segments = path.split('/');
    for (const pattern of this.patterns) {
      if (pattern.method !== method || pattern.segments.length !== segments.length) continue;
      const parameters: Record<string, string> = {};
      const isMatch = pattern.segments.every((expected, index) => {
        const segment = segments[index] as string;
        if (!expected.startsWith(':')) return expected === segment;
        parameters[expected.slice(1)] = decodeURIComponent(segment);
        return segment !== '';
      });
      if (isMatch) return { name: pattern.name, handler: pattern.handler, parameters };
    }
    return undefined;
  }
}
