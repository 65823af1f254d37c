// A Matrix call as people have it: users of two homeservers in an encrypted room, at the page, through our focus.
// One rig for all of it, and one call that goes on from test to test: alice (first homeserver) and bob (second).

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launchChromium } from '../lib/chromium.mjs';
import { allSeeAll, flowing, sees } from '../lib/expect.mjs';
import { launchFirefox } from '../lib/firefox.mjs';
import { inCall, joinCall, leavesSeenBy, membersAre, membersSeenBy, othersSeenAt, stickyEventsOf, watchTraffic } from '../lib/matrix/person.mjs';
import { startRig } from '../lib/matrix/rig.mjs';
import { opens } from '../lib/matrix/sframe.mjs';
import { getToken } from '../lib/matrix/socket.mjs';
import { need } from '../lib/need.mjs';
import { recordAnew, recorded, recordedKeys } from '../lib/record.mjs';
import { pause, until } from '../lib/wait.mjs';

/** From the homeserver's answer to the kick to the last packet. */
const KICK_MS = 2000;
/** From the death of a tab until the other homeserver's room says that its user left. */
const GONE_OWN_MS = 12_000;
const GONE_DELEGATED_MS = 25_000;
/** Longer than a last will waits that nobody restarts. */
const DOWN_MS = 15_000;
const skip = need('chromium', 'firefox', 'synapse', 'openssl');

let rig, chrome, fox, room;
/** Users by name, and people at a page. */
let users, alice, bob;

before(async () => {
  if (skip) return;
  [rig, chrome, fox] = await Promise.all([startRig({ focusEnv: { SFU_DRAIN__TIMEOUT: '2s' } }), launchChromium(), launchFirefox()]);
  const names = { alice: 0, bob: 1, carol: 1, dave: 0, erin: 1 };
  users = Object.fromEntries(await Promise.all(Object.entries(names).map(async ([name, homeserver]) => [name, await rig.user(name, homeserver)])));
  room = await rig.room([users.alice, users.bob, users.carol, users.dave, users.erin]);
});
after(async () => {
  await Promise.all([chrome?.close(), fox?.close()]);
  await rig?.close();
});

/** Somebody who comes for one test. */
async function guest(t, user, options) {
  const person = await joinCall(chrome, rig, user, room, options);
  t.after(() => person.close());
  return person;
}

const noFailures = (media) => assert.deepEqual(media.filter(({ encryption }) => encryption !== 'ok'), [], 'nothing fails to be decrypted');

test('users of two homeservers see and hear each other', { skip, timeout: 120_000 }, async (t) => {
  alice = await joinCall(chrome, rig, users.alice, room);
  bob = await joinCall(fox, rig, users.bob, room);
  await allSeeAll([alice, bob], { deadlineMs: 60_000 });
  for (const user of [users.alice, users.bob]) await membersAre(user, room, [users.alice, users.bob]);
  const { worstMs } = await flowing([alice, bob], { ms: 5000 });
  t.diagnostic(`longest standstill: ${worstMs} ms`);
  for (const one of [alice, bob]) noFailures(await one.media());
  assert.equal((await rig.focus.metrics()).sum('sfu_participants'), 2);
});

test('who leaves cannot decode what follows, though the focus still sends it', { skip, timeout: 150_000 }, async (t) => {
  const carol = await guest(t, users.carol, { recording: true });
  await allSeeAll([alice, bob, carol], { deadlineMs: 60_000 });
  const others = (await membersSeenBy(users.alice, room)).filter(({ user }) => user === users.carol.id);
  assert.equal(others.length, 1);
  const audioOf = async () => (await recorded(carol)).filter(({ side, mimeType }) => side === 'receive' && /^audio/.test(mimeType)).map(({ bytes }) => bytes);

  // What comes now is opened by the keys that carol was given: the same search will find nothing later.
  await recordAnew(carol);
  await pause(2000);
  const early = await audioOf();
  const earlyKeys = await recordedKeys(carol);
  const opened = early.filter((frame) => earlyKeys.some((key) => opens(frame, key))).length;
  t.diagnostic(`before: carol's ${earlyKeys.length} keys open ${opened} of ${early.length} audio frames`);
  assert.ok(early.length > 50);
  assert.equal(opened, early.length);

  // A dishonest carol: the room is told that she left, her page knows nothing of it and stays at the focus.
  await carol.context.route(`${users.carol.homeserver.origin}/**`, (route) => route.abort());
  const left = Date.now();
  await users.carol.setState(room, 'org.matrix.msc3401.call.member', others[0].key, {});
  await Promise.all([alice, bob].map((one) => until(`${one.name} sees carol leave`, async () => !(await one.media()).some(({ participant }) => participant === carol.name))));
  await flowing([alice, bob], {
    during: () => until(
      'both use keys that carol does not have',
      async () => {
        await recordAnew(carol);
        await pause(500);
        const frames = await audioOf();
        // Not by index alone: each sender numbers its own keys, so one's next may have the number of the other's last.
        return frames.length > 10 && frames.every((frame) => !earlyKeys.some((key) => opens(frame, key)));
      },
      { deadlineMs: 20_000 },
    ),
  });
  t.diagnostic(`keys that carol lacks were in use ${Date.now() - left} ms after she left`);

  await recordAnew(carol);
  await pause(3000);
  const late = await audioOf();
  const lateKeys = await recordedKeys(carol);
  assert.ok(late.length > 50, `the focus still sends: ${late.length} audio frames`);
  assert.deepEqual(late.filter((frame) => lateKeys.some((key) => opens(frame, key))), [], 'no key that carol ever had opens any of them');
  t.diagnostic(`after: carol's ${lateKeys.length} keys open none of ${late.length} audio frames`);
  await flowing([alice, bob], { ms: 2000 });
});

test('kicked: the media stop', { skip, timeout: 120_000 }, async (t) => {
  const carol = await guest(t, users.carol);
  await sees(carol, [alice, bob], { deadlineMs: 60_000 });
  const silence = await watchTraffic(carol);
  const asked = Date.now();
  await users.alice.kick(room, users.carol);
  const kicked = Date.now();
  await until('nothing comes any more', async () => Date.now() - (await silence()).changedAt > 3000, { deadlineMs: 20_000 });
  const { changedAt } = await silence();
  t.diagnostic(`silent ${changedAt - asked} ms after the kick was asked for, ${changedAt - kicked} ms after it was done`);
  assert.ok(changedAt - kicked < KICK_MS, `${changedAt - kicked} ms`);
  await assert.rejects(getToken(users.carol, room), { status: 403 });
  await sees(alice, [bob]);
  await flowing([alice, bob], { ms: 2000 });
});

for (const { how, words, limitMs } of [
  { how: 'its own last will', words: {}, limitMs: GONE_OWN_MS },
  { how: 'the last will that the focus keeps', words: { delegate: '1' }, limitMs: GONE_DELEGATED_MS },
]) {
  test(`a tab is killed: ${how} tells the other homeserver in time`, { skip, timeout: 120_000 }, async (t) => {
    const dave = await guest(t, users.dave, { words });
    await sees(bob, [alice, dave], { deadlineMs: 60_000 });
    await membersAre(users.bob, room, [users.alice, users.bob, users.dave]);
    if (words.delegate) {
      await until('the focus keeps the will', async () => (await rig.focus.metrics()).sum('sfu_delegated_leaves') === 1);
      await until('there is no other', async () => (await users.dave.delayedEvents()).length === 1);
    }
    const killed = Date.now();
    await dave.crash();
    const gone = await membersAre(users.bob, room, [users.alice, users.bob], 2 * limitMs);
    t.diagnostic(`gone for the other homeserver ${gone - killed} ms after its tab was killed`);
    assert.ok(gone - killed <= limitMs, `${gone - killed} ms`);
    await until('and for the other page', async () => !(await bob.media()).some(({ participant }) => participant === dave.name));
  });
}

test('a member by sticky events is seen by those who use room state, and by who comes later; its tab is killed', { skip, timeout: 120_000 }, async (t) => {
  const dave = await guest(t, users.dave, { words: { member: 'sticky' } });
  await allSeeAll([alice, bob, dave], { deadlineMs: 60_000 });
  await membersAre(users.bob, room, [users.alice, users.bob]);
  assert.deepEqual((await othersSeenAt(bob)).filter(({ user }) => user === dave.name), [{ user: dave.name, form: 'transports' }]);
  assert.deepEqual((await stickyEventsOf(users.dave, users.bob, room)).map(({ type }) => type), ['m.room.encrypted']);

  // A device that was not there when dave's event was encrypted, and whose own says of itself only by whom it is encrypted.
  const erin = await guest(t, users.erin, { words: { member: 'sticky', profile: 'pure' } });
  await allSeeAll([alice, bob, dave, erin], { deadlineMs: 60_000 });
  assert.equal((await othersSeenAt(bob)).find(({ user }) => user === erin.name).form, 'spec');
  assert.ok((await stickyEventsOf(users.dave, users.bob, room)).length > 1, 'dave said it again');

  const killed = Date.now();
  await dave.crash();
  await until('he is gone for the other homeserver', async () => !(await othersSeenAt(bob)).some(({ user }) => user === dave.name), { deadlineMs: 2 * GONE_OWN_MS, pollMs: 200 });
  const goneMs = Date.now() - killed;
  t.diagnostic(`gone for the other homeserver ${goneMs} ms after its tab was killed`);
  assert.ok(goneMs <= GONE_OWN_MS, `${goneMs} ms`);
  assert.deepEqual((await stickyEventsOf(users.dave, users.bob, room)).at(-1).type, 'org.matrix.msc4143.rtc.member', 'the last will is in clear');
  await until('and at the focus', async () => !(await bob.media()).some(({ participant }) => participant === dave.name));
  await erin.click('#leave');
  await sees(bob, [alice]);
});

test('a homeserver stops: the call lives, nobody new is let in; it comes back', { skip, timeout: 150_000 }, async (t) => {
  // Keys that were changed because of who left before have arrived: one that is under way to a stopped homeserver waits there.
  await flowing([alice, bob], { ms: 5000 });
  const gone = rig.homeservers[1];
  await gone.stop();
  t.after(() => gone.pid ?? gone.start());
  await flowing([alice, bob], {
    during: async () => {
      await assert.rejects(getToken(users.erin, room), 'a user of the stopped homeserver is not let in');
      await pause(DOWN_MS);
    },
  });
  await gone.start();
  const back = Date.now();
  const erin = await guest(t, users.erin);
  await allSeeAll([alice, bob, erin], { deadlineMs: 60_000 });
  t.diagnostic(`a new member sees all ${Date.now() - back} ms after the homeserver was back`);
  await erin.click('#leave');
  // Bob's last will was due while his homeserver was away, which may send it when it starts; his page says that he is there.
  for (const user of [users.alice, users.bob]) await membersAre(user, room, [users.alice, users.bob]);
});

test('the focus is restarted: the call comes back, and nobody was said to have left', { skip, timeout: 150_000 }, async (t) => {
  await allSeeAll([alice, bob], { deadlineMs: 60_000 });
  const before = (await leavesSeenBy(users.alice, room)).length;
  await rig.focus.stop();
  const stopped = Date.now();
  await rig.focus.start();
  await Promise.all([alice, bob].map((one) => inCall(one)));
  await allSeeAll([alice, bob], { deadlineMs: 60_000 });
  t.diagnostic(`all see all ${Date.now() - stopped} ms after the restart`);
  await flowing([alice, bob], { ms: 30_000 });
  assert.equal((await leavesSeenBy(users.alice, room)).length, before, 'no leave was sent');
  await membersAre(users.bob, room, [users.alice, users.bob]);
});

test('neither the log nor the metrics of the focus name anybody', { skip }, async () => {
  const secrets = Object.values(users).flatMap((user) => [user.id, user.token, user.device, user.password]);
  const text = [...rig.focus.log, (await rig.focus.metrics()).text].join('\n');
  for (const word of [...secrets, room, ...Object.keys(users).map((name) => `@${name}`)]) assert.ok(!text.includes(word), 'a name, a room or a token is in the log or the metrics');
  assert.ok(rig.focus.log.length > 5, 'there is a log');
});
