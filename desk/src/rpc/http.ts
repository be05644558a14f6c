// Calls over HTTP. Those of one moment travel as one batch.

import { RpcError } from "./error";

const batchMax = 100;
const timeoutMs = 30_000;

interface Waiting {
  method: string;
  params: unknown[];
  settle(answer: Answer): void;
}

interface Answer {
  id?: number;
  result?: unknown;
  error?: { code: number; message: string; data?: unknown };
}

export interface Caller {
  call<T>(method: string, ...params: unknown[]): Promise<T>;
}

export class HttpCaller implements Caller {
  private queue: Waiting[] = [];
  private nextId = 1;

  // `heard` is told after each exchange whether the node answered, and with which HTTP status; `key` names the person to a node that asks.
  constructor(
    private readonly url: string,
    private readonly heard: (answered: boolean, status: number) => void = () => {},
    private readonly fetcher: typeof fetch = (...args) => fetch(...args),
    private readonly key: () => string = () => "",
  ) {}

  call<T>(method: string, ...params: unknown[]): Promise<T> {
    while (params.length > 0 && params.at(-1) === undefined) params.pop();
    return new Promise<T>((resolve, reject) => {
      const settle = ({ error, result }: Answer) =>
        error ? reject(new RpcError(error.code, error.message, error.data, method)) : resolve(result as T);
      this.queue.push({ method, params, settle });
      if (this.queue.length === 1) queueMicrotask(() => this.flush());
    });
  }

  private flush(): void {
    const waiting = this.queue;
    this.queue = [];
    for (let at = 0; at < waiting.length; at += batchMax) void this.exchange(waiting.slice(at, at + batchMax));
  }

  private async exchange(batch: Waiting[]): Promise<void> {
    const first = this.nextId;
    this.nextId += batch.length;
    const requests = batch.map(({ method, params }, index) => ({ jsonrpc: "2.0", id: first + index, method, params }));
    const fail = (code: number, message: string) => batch.forEach(({ settle }) => settle({ error: { code, message } }));
    try {
      const response = await this.fetcher(this.url, {
        method: "POST",
        headers: { "content-type": "application/json", ...(this.key() ? { "x-api-key": this.key() } : {}) },
        body: JSON.stringify(requests.length === 1 ? requests[0] : requests),
        signal: AbortSignal.timeout(timeoutMs),
      });
      const text = await response.text();
      const parsed = parse(text);
      if (parsed === null) {
        this.heard(response.status < 500, response.status);
        return fail(response.status >= 500 ? 0 : response.status, `the node answered with HTTP status ${response.status}: ${text.slice(0, 200)}`);
      }
      this.heard(true, response.status);
      const answers = new Map(parsed.map((answer) => [answer.id, answer]));
      const refusal = parsed.find(({ id, error }) => error && (id === null || id === undefined));
      batch.forEach(({ settle }, index) => settle(answers.get(first + index) ?? refusal ?? { error: { code: -32603, message: "the node's answer lacks this call" } }));
    } catch (error) {
      this.heard(false, 0);
      const late = error instanceof DOMException && error.name === "TimeoutError";
      fail(0, late ? `the node did not answer within ${timeoutMs / 1000} s` : "the node cannot be reached");
    }
  }
}

function parse(text: string): Answer[] | null {
  try {
    const value = JSON.parse(text) as Answer | Answer[];
    if (typeof value !== "object" || value === null) return null;
    return Array.isArray(value) ? value : [value];
  } catch {
    return null;
  }
}
