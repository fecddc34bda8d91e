export interface FieldError {
  /** As in body.username. */
  location: string;
  message: string;
}

/** The server's codes, and `offline`: no answer at all, so that the outcome is unknown. */
export type ErrorCode =
  | 'invalid'
  | 'unauthenticated'
  | 'forbidden'
  | 'confirmation_required'
  | 'not_found'
  | 'conflict'
  | 'too_large'
  | 'rate_limited'
  | 'unavailable'
  | 'internal'
  | 'offline';

/** The one error that the server's answers, over HTTP and on the socket, become. */
export class ApiError extends Error {
  constructor(
    readonly code: ErrorCode,
    /** A sentence for a person, by the server; may be empty. */
    readonly detail = '',
    readonly fields: FieldError[] = [],
    /** After how many seconds to try again; 0 if unknown. */
    readonly retryAfter = 0,
  ) {
    super(`${code}: ${detail}`);
    this.name = 'ApiError';
  }

  /** What is wrong with one field, or undefined. */
  field(name: string): string | undefined {
    return this.fields.find((f) => f.location === name || f.location.endsWith(`.${name}`))?.message;
  }
}

/** May what was asked for have been done all the same? */
export const perhapsDone = (err: ApiError): boolean => err.code === 'offline' || err.code === 'unavailable';

const codes: Record<string, true> = {
  invalid: true,
  unauthenticated: true,
  forbidden: true,
  confirmation_required: true,
  not_found: true,
  conflict: true,
  too_large: true,
  rate_limited: true,
  unavailable: true,
  internal: true,
};

/** The code for an answer that did not come from Parley (a proxy, say). */
function codeOfStatus(status: number): ErrorCode {
  if (status === 401) return 'unauthenticated';
  if (status === 403) return 'forbidden';
  if (status === 404) return 'not_found';
  if (status === 413) return 'too_large';
  if (status === 429) return 'rate_limited';
  if (status >= 502 && status <= 504) return 'unavailable';
  return status >= 500 ? 'internal' : 'invalid';
}

interface Problem {
  code?: unknown;
  detail?: unknown;
  errors?: unknown;
  /** In a frame; over HTTP it is a header. */
  retry_after?: unknown;
}

/** Reads a problem, whatever it came in. */
export function toApiError(problem: unknown, status = 0, retryAfter = 0): ApiError {
  const p: Problem = typeof problem === 'object' && problem !== null ? problem : {};
  const code = typeof p.code === 'string' && codes[p.code] ? (p.code as ErrorCode) : codeOfStatus(status);
  const fields = Array.isArray(p.errors)
    ? p.errors.filter((f): f is FieldError => typeof f?.location === 'string' && typeof f?.message === 'string')
    : [];
  return new ApiError(code, typeof p.detail === 'string' ? p.detail : '', fields, retryAfter || Number(p.retry_after) || 0);
}

/** Any error as an ApiError; one that is not from the server is a mistake of ours. */
export function asApiError(err: unknown): ApiError {
  if (err instanceof ApiError) return err;
  console.error(err);
  return new ApiError('internal');
}
