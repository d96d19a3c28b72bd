import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/** As documented for `POST /v1/embeddings`: texts in one request, and the tokens of all. */
const MAX_INPUTS = 2_048;
const MAX_TOKENS = 300_000;
const MAX_TOKENS_OF_ONE = 8_192;
const DIMENSIONS = 1_536;

/** Words that mean the same to the double, each a direction of its vectors. */
type Meanings = readonly (readonly string[])[];

/**
 * OpenAI's `POST /v1/embeddings`, from its API reference and the types of openai-node: checks the key, the fields and the limits,
 * and answers with vectors of length 1 in which texts with words of one meaning lie near each other.
 */
export class OpenAiEmbeddings {
  /** The texts of each request that was answered with vectors. */
  readonly asked: string[][] = [];
  requests = 0;
  /** Some services that are like OpenAI's answer with numbers, whatever they are asked for. */
  hasBase64 = true;
  /** Answers the next requests in place of the double, one each; `undefined`: as usual. */
  readonly faults: (((response: ServerResponse) => void) | undefined)[] = [];
  private readonly server = createServer((request, response) => {
    void this.handle(request, response);
  });

  private constructor(
    private readonly key: string,
    private readonly meanings: Meanings,
  ) {}

  static async start(key: string, meanings: Meanings): Promise<OpenAiEmbeddings> {
    const double = new OpenAiEmbeddings(key, meanings);
    double.server.listen(0, '127.0.0.1');
    await once(double.server, 'listening');
    return double;
  }

  /** What a client has as its base URL. */
  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/v1`;
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    this.requests += 1;
    const fault = this.faults.shift();
    if (fault !== undefined) return fault(response);
    if (request.headers.authorization !== `Bearer ${this.key}`) {
      const message = `Incorrect API key provided: ${request.headers.authorization?.slice(-4)}.`;
      return refuse(response, 401, 'invalid_request_error', 'invalid_api_key', message);
    }
    if (request.method !== 'POST' || request.url !== '/v1/embeddings') {
      return refuse(response, 404, 'invalid_request_error', null, 'Invalid URL');
    }
    const {
      input,
      model,
      encoding_format = 'float',
      ...others
    } = JSON.parse(body) as Record<string, unknown>;
    const texts = (typeof input === 'string' ? [input] : input) as string[];
    const tokens = texts.map((each) => Math.ceil(each.length / 4));
    if (model !== 'text-embedding-3-small') {
      return refuse(
        response,
        404,
        'invalid_request_error',
        'model_not_found',
        `The model ${model} does not exist`,
      );
    }
    if (
      Object.keys(others).length > 0 ||
      !['float', 'base64'].includes(encoding_format as string) ||
      texts.length === 0 ||
      texts.length > MAX_INPUTS ||
      texts.includes('') ||
      Math.max(...tokens) > MAX_TOKENS_OF_ONE ||
      tokens.reduce((sum, each) => sum + each) > MAX_TOKENS
    ) {
      return refuse(response, 400, 'invalid_request_error', null, 'Invalid request');
    }
    this.asked.push(texts);
    answer(response, 200, {
      object: 'list',
      data: texts.map((each, index) => ({
        object: 'embedding',
        index,
        embedding:
          this.hasBase64 && encoding_format === 'base64'
            ? base64Of(this.vectorOf(each))
            : this.vectorOf(each),
      })),
      model,
      usage: { prompt_tokens: 1, total_tokens: 1 },
    });
  }

  private vectorOf(each: string): number[] {
    const words = each.toLowerCase().match(/\p{L}+/gu) ?? [];
    const vector = new Array<number>(DIMENSIONS).fill(0.001);
    this.meanings.forEach((meaning, i) => {
      if (words.some((word) => meaning.includes(word))) vector[i] = 1;
    });
    const length = Math.hypot(...vector);
    return vector.map((value) => value / length);
  }
}

/** An error as OpenAI writes it. */
export function refuse(
  response: ServerResponse,
  status: number,
  type: string,
  code: string | null,
  message: string,
): void {
  answer(response, status, { error: { message, type, param: null, code } });
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** 32-bit floats, little endian. */
function base64Of(vector: readonly number[]): string {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [i, value] of vector.entries()) bytes.writeFloatLE(value, i * 4);
  return bytes.toString('base64');
}
