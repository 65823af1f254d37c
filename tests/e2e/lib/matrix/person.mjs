// A Matrix user at the call page, and what the room says of him.

import { openParticipant, SMALL } from '../participant.mjs';
import { record } from '../record.mjs';
import { until } from '../wait.mjs';
import { matrixLink } from './link.mjs';

export const MEMBER = 'org.matrix.msc3401.call.member';
const JOIN_MS = 60_000;
const SEEN_MS = 15_000;

/** `words`: for the link. `recording`: keeps what its encryption worker is handed. */
export async function joinCall(browser, rig, user, room, { words = {}, query = SMALL, site = undefined, recording = false, ...pageOptions } = {}) {
  const person = await openParticipant(browser, user.id, pageOptions);
  person.user = user;
  if (recording) await record(person);
  await person.goto(matrixLink(rig, user, room, { words, query, site }));
  return inCall(person);
}

export async function inCall(person) {
  await until(`${person.name} is in the call`, async () => (await person.state()) === 'joined', {
    deadlineMs: JOIN_MS,
    describe: async () => `${await person.state()}; ${person.console.slice(-8).join(' | ')}`,
  });
  return person;
}

/**
 * Members of the call in the room, as `user`'s homeserver has it: `[{ user, key, content }]`. Who is not in the room is none,
 * though the event with which he joined the call may still stand there: nobody can take it back for him.
 */
export async function membersSeenBy(user, room) {
  const state = await user.allState(room);
  const inRoom = new Set(state.filter(({ type, content }) => type === 'm.room.member' && content.membership === 'join').map(({ state_key }) => state_key));
  const members = state.filter(({ type, content, sender }) => type === MEMBER && content.application && inRoom.has(sender));
  return members.map(({ sender, state_key, content }) => ({ user: sender, key: state_key, content }));
}

/** Waits until the call's members are these users, for that homeserver. Returns when that was seen, in ms of the clock. */
export async function membersAre(user, room, expected, deadlineMs = SEEN_MS) {
  const wanted = expected.map(({ id }) => id).sort().join();
  let last = '';
  await until(
    `the homeserver of ${user.id} sees ${expected.length} members`,
    async () => {
      last = (await membersSeenBy(user, room)).map((member) => member.user).sort().join();
      return last === wanted;
    },
    { deadlineMs, pollMs: 200, describe: () => `${last}, wanted ${wanted}` },
  );
  return Date.now();
}

/** Every event with which somebody left the call, as `user`'s homeserver has them, oldest first. */
export async function leavesSeenBy(user, room) {
  const filter = JSON.stringify({ types: [MEMBER] });
  const { chunk } = await user.call('GET', `/v3/rooms/${encodeURIComponent(room)}/messages`, undefined, { dir: 'b', limit: '500', filter });
  return chunk.filter(({ content }) => !content.application).reverse();
}

/** Who is in the call beside the person, as the person's page has it from the room: `[{ user, form }]`, `form` being the kind of event. */
export const othersSeenAt = (person) => person.evaluate(() => window.sfuMatrixCall.others().map(({ user, form }) => ({ user, form })));

/** Sticky events of `sender`, as `user`'s homeserver has them, oldest first. */
export async function stickyEventsOf(sender, user, room) {
  const { chunk } = await user.call('GET', `/v3/rooms/${encodeURIComponent(room)}/messages`, undefined, { dir: 'b', limit: '200' });
  return chunk.filter((event) => event.sender === sender.id && event.msc4354_sticky).reverse();
}

/** When the last RTP packet came to a page, polled in the page itself; call `stop` to get ms of the clock. */
export async function watchTraffic(person) {
  await person.evaluate(() => {
    let last = -1;
    window.e2eSilence = { changedAt: Date.now(), connections: 0 };
    const look = async () => {
      const { received, connections } = await window.e2e.traffic();
      if (received !== last && connections > 0) window.e2eSilence.changedAt = Date.now();
      window.e2eSilence.connections = connections;
      last = received;
      setTimeout(look, 50);
    };
    void look();
  });
  return () => person.evaluate(() => window.e2eSilence);
}
