import { PAGE_HEADERS, type PageFile, readPage } from '../dashboard/page-files.js';
import type { RequestAuthenticator } from './request-authenticator.js';
import type { RequestContext } from './request-context.js';

/** `/dashboard`: the page for operators. It holds nothing secret and asks for the key itself; without a control API it does not exist. */
export class DashboardRoutes {
  /** Paths under `/dashboard`; empty text is the page itself. Empty without a control API. */
  readonly paths: readonly string[];
  private readonly files: ReadonlyMap<string, PageFile>;

  constructor(authenticator: RequestAuthenticator) {
    this.files = authenticator.hasControl ? readPage() : new Map();
    this.paths = [...this.files.keys()];
  }

  /** @param path one of {@link paths} */
  answer(context: RequestContext, path: string): void {
    const { contentType, body, packed } = this.files.get(path) as PageFile;
    const isPacked = /\bgzip\b/.test(context.header('accept-encoding'));
    const headers = isPacked ? [...PAGE_HEADERS, ['content-encoding', 'gzip'] as const] : PAGE_HEADERS;
    context.answer(200, contentType, isPacked ? packed : body, headers);
  }
}
