// The member events that the crate `matrixrtc` reads, with the same results.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { RawEvent } from '../../src/matrix/homeserver.ts';
import type { Json } from '../../src/matrix/json.ts';
import { readMember } from '../../src/matrix/session.ts';
import { kindName } from '../../src/matrix/transport.ts';
import { stickyEnds } from '../../src/matrix/sticky-member.ts';

const FOLDER = path.resolve('../../crates/matrixrtc/golden');

interface Golden {
  readonly encrypted_by: string | null;
  readonly event: Json & { type: string; sender: string; content: Json; origin_server_ts: number; event_id: string; state_key?: string; unsigned?: Record<string, unknown> };
  readonly expected: unknown;
  readonly received: number;
}

function raw({ event, encrypted_by, received }: Golden): RawEvent {
  const sticky = (event['sticky'] ?? event['msc4354_sticky']) as { duration_ms: number } | undefined;
  const left = (event.unsigned?.['sticky_duration_remaining_ms'] ?? event.unsigned?.['msc4354_sticky_duration_ttl_ms'] ?? null) as number | null;
  return {
    type: event.type,
    sender: event.sender,
    content: event.content,
    originServerTs: event.origin_server_ts,
    eventId: event.event_id,
    ...(event.state_key === undefined ? {} : { stateKey: event.state_key }),
    ...(sticky ? { stickyUntil: stickyEnds(event.origin_server_ts, received, sticky.duration_ms, left) } : {}),
    ...(encrypted_by === null ? {} : { senderDevice: encrypted_by }),
    ...(event.unsigned?.['redacted_because'] ? { redacted: true } : {}),
  };
}

/** In the words of the golden files. */
function result(event: RawEvent): unknown {
  const claim = readMember(event);
  if (claim.is === 'refused') return { refused: claim.why.split(' ')[0] };
  if (claim.is === 'left') return { left: claim.leave };
  const { deviceFrom, memberId, createdAt, expiresAt, canSubscribe, eventId, sentAt, transports, ...same } = claim.membership;
  return {
    joined: {
      ...same,
      device_from: deviceFrom,
      member_id: memberId,
      created_at: createdAt,
      expires_at: expiresAt,
      can_subscribe: canSubscribe,
      event_id: eventId,
      sent_at: sentAt,
      // Types under the name that both programs use.
      transports: transports.map((transport) => ({ ...transport.json, type: kindName(transport) })),
    },
  };
}

const files = readdirSync(FOLDER).filter((name) => name.endsWith('.json'));

test('there are golden member events', () => {
  assert.ok(files.length > 40, `${files.length} files`);
});

for (const name of files) {
  const golden = JSON.parse(readFileSync(path.join(FOLDER, name), 'utf8')) as Golden;
  test(`golden: ${name.replace('.json', '')}`, () => assert.deepEqual(result(raw(golden)), golden.expected));
}
