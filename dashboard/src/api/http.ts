// Calls to the server that the page came from; never to another.

interface ProblemBody {
  title?: unknown;
  detail?: unknown;
  code?: unknown;
}

/** What a server, or the way to it, said instead of an answer: `message` happened, `hint` says what to do next. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly hint: string,
    readonly status: number,
    readonly code: string,
    /** Seconds that the server asks to wait. */
    readonly retryAfter: number | undefined = undefined,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

export interface CallOptions {
  method?: "GET" | "POST" | "PUT";
  /** Sent as JSON. */
  body?: unknown;
  /** Sent as it is, as `type`. */
  data?: Blob;
  type?: string;
  token?: string | undefined;
  signal?: AbortSignal;
  accept?: string;
}

/** One call. Throws ApiError: the server refuses, or does not answer. */
export async function call(path: string, options: CallOptions = {}): Promise<Response> {
  const headers: Record<string, string> = { accept: options.accept ?? "application/json" };
  if (options.token) headers.authorization = `Bearer ${options.token}`;
  const request: RequestInit = {
    method: options.method ?? "GET",
    headers,
    cache: "no-store",
    credentials: "omit",
  };
  if (options.body !== undefined) {
    headers["content-type"] = "application/json";
    request.body = JSON.stringify(options.body);
  }
  if (options.data !== undefined) {
    headers["content-type"] = options.type ?? "application/octet-stream";
    request.body = options.data;
  }
  if (options.signal) request.signal = options.signal;
  let answer: Response;
  try {
    answer = await fetch(path, request);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError(
      "The server does not answer.",
      "Is it still running? This page keeps asking.",
      0,
      "offline",
    );
  }
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

/** The JSON answer to a call; errors as for `call`. */
export async function json<T>(path: string, options: CallOptions = {}): Promise<T> {
  const answer = await call(path, options);
  const kind = answer.headers.get("content-type") ?? "";
  if (!kind.includes("json"))
    throw new ApiError("The server answers with something else.", "", answer.status, "no-json");
  return (await answer.json()) as T;
}

async function refusal(answer: Response): Promise<ApiError> {
  const fallback = `The server answers with status ${answer.status}.`;
  const wait = Number(answer.headers.get("retry-after")) || undefined;
  let body: ProblemBody = {};
  try {
    body = (await answer.json()) as ProblemBody;
  } catch {
    // No problem document: the status says all there is to say.
  }
  const code = text(body.code);
  const detail = text(body.detail);
  // Some say the code again as title; then the detail is the sentence.
  const title = text(body.title) === code ? "" : text(body.title);
  const message = title || detail || fallback;
  return new ApiError(message, message === detail ? "" : detail, answer.status, code, wait);
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** Any thrown value as an ApiError. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return new ApiError(error instanceof Error ? error.message : String(error), "", 0, "failed");
}
