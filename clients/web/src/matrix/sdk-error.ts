// What matrix-js-sdk throws, in our terms.

import { MatrixError } from 'matrix-js-sdk';
import { HomeserverError } from './homeserver.ts';
import { isObject } from './json.ts';

export function asError(error: unknown): HomeserverError {
  if (error instanceof HomeserverError) return error;
  if (!(error instanceof MatrixError)) return new HomeserverError(0, 'M_UNREACHABLE', String(error));
  const body = isObject(error.data) ? error.data : {};
  const wait = typeof body['retry_after_ms'] === 'number' ? body['retry_after_ms'] : error.getRetryAfterMs();
  return new HomeserverError(error.httpStatus ?? 0, error.errcode ?? 'M_UNKNOWN', error.message, wait, body);
}
