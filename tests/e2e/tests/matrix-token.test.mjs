// Who may call, asked of real homeservers: users of both servers who are in the room, and nobody else.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { startRig } from '../lib/matrix/rig.mjs';
import { enter, getToken } from '../lib/matrix/socket.mjs';
import { NFT, need } from '../lib/need.mjs';
import { until } from '../lib/wait.mjs';

/** From the kick to the closed socket. */
const KICK_MS = 2000;
/** A younger token is taken as it is; and a second more, for it is dated in whole ones. */
const FRESH_MS = 3000;
const skip = need('synapse', 'openssl');

let rig, alice, bob, carol, room;
before(async () => {
  if (skip) return;
  rig = await startRig();
  [alice, bob, carol] = await Promise.all([rig.user('alice', 0), rig.user('bob', 1), rig.user('carol', 1)]);
  room = await rig.room([alice, bob]);
});
after(() => rig?.close());

const refused = async (work, status, errcode) => {
  await assert.rejects(work, (error) => {
    assert.deepEqual([error.status, error.errcode], [status, errcode], error.message);
    return true;
  });
};

test('both homeservers announce the same focus, and it knows its own key', { skip }, async () => {
  const [one, other] = await Promise.all([alice, bob].map((user) => user.transports()));
  assert.deepEqual([one.length, other.length, one[0].type], [1, 1, 'rust_sfu']);
  for (const field of ['sfu_id', 'url', 'service_url']) assert.equal(one[0][field], other[0][field]);
  const grant = await getToken(alice, room);
  assert.deepEqual([grant.sfu_id, grant.url], [one[0].sfu_id, one[0].url]);
});

test('members of both servers are let in, may publish, and meet', { skip }, async () => {
  const people = await Promise.all([alice, bob].map(async (user) => ({ user, member: `${user.id}:${user.device}`, grant: await getToken(user, room) })));
  for (const { user, member, grant } of people) {
    assert.equal(grant.can_publish, true, user.homeserver.serverName);
    // MSC4195: unpadded base64 of the SHA-256 of the canonical JSON of both ids.
    assert.equal(grant.identity.replaceAll('-', '+').replaceAll('_', '/'), createHash('sha256').update(JSON.stringify([user.id, member])).digest('base64').replace(/=+$/, ''));
    assert.ok(grant.expires_in_ms > 0);
  }
  const [first, second] = [await enter(people[0].grant), await enter(people[1].grant)];
  assert.deepEqual(second.welcome.participants.map(({ identity }) => identity), [people[0].grant.identity]);
  await until('the first is told of the second', () => first.find('participant'));
  await assert.rejects(enter(people[0].grant), /not let in/, 'a token is good for one entry');
  first.close();
  second.close();
});

test('who is not in the room gets no token, whatever is claimed', { skip }, async () => {
  await refused(getToken(carol, room), 403, 'M_FORBIDDEN');
  await refused(getToken(carol, room, { member: `${alice.id}:${alice.device}` }), 403, 'M_FORBIDDEN');
  await refused(getToken(alice, `!${randomBytes(16).toString('base64url')}`), 403, 'M_FORBIDDEN');
  const other = await carol.createRoom();
  await refused(getToken(alice, other), 403, 'M_FORBIDDEN');
});

test('the focus believes a homeserver only with its token', { skip }, async () => {
  for (const authorization of [undefined, 'Bearer wrong', `Bearer ${alice.token}`]) {
    const response = await fetch(`${rig.focus.origin}/_matrix/client/unstable/io.element.msc4195/rtc/livekit/rust_sfu/get_token`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-matrix-user-identifier': alice.id, ...(authorization ? { authorization } : {}) },
      body: JSON.stringify({ room_id: room, slot_id: 'm.call#ROOM', member_id: 'x' }),
    });
    assert.ok([401, 403].includes(response.status), `${authorization}: ${response.status}`);
  }
});

test('kicked, and gone from the call', { skip }, async (t) => {
  await alice.invite(room, carol);
  await carol.join(room, alice);
  const [stays, goes] = [await enter(await getToken(bob, room)), await enter(await getToken(carol, room))];
  const began = Date.now();
  await alice.kick(room, carol);
  await until('carol is put out', () => goes.closed, { pollMs: 10, describe: () => goes.messages });
  t.diagnostic(`put out ${goes.closed.at - began} ms after the kick was asked for`);
  assert.ok(goes.closed.at - began < KICK_MS);
  assert.equal(goes.closed.code, 4403);
  assert.equal(goes.find('leave')?.code, 'M_FORBIDDEN');
  await refused(getToken(carol, room), 403, 'M_FORBIDDEN');
  assert.equal(stays.closed, null);
  stays.close();
});

/** Between the two homeservers nothing passes any more; everybody else reaches both. */
function cutFederation(t) {
  const nft = (...words) => execFileSync(NFT, words);
  nft('add', 'table', 'ip', 'cut');
  t.after(() => nft('delete', 'table', 'ip', 'cut'));
  nft('add', 'chain', 'ip', 'cut', 'in', '{ type filter hook input priority 0; }');
  const ports = rig.homeservers.map(({ serverName }) => serverName.split(':')[1]);
  nft('add', 'rule', 'ip', 'cut', 'in', 'tcp', 'dport', '{', ports.join(', '), '}', 'drop');
}

test('kicked, and the own homeserver does not hear of it', { skip: skip || need('nft') }, async (t) => {
  const eve = await rig.user('eve', 1);
  await alice.invite(room, eve);
  await eve.join(room, alice);
  const [stays, goes] = [await enter(await getToken(bob, room)), await enter(await getToken(eve, room))];
  cutFederation(t);
  const began = Date.now();
  await alice.kick(room, eve);
  await until('eve is put out', () => goes.closed, { pollMs: 10, describe: () => goes.messages });
  t.diagnostic(`put out ${goes.closed.at - began} ms after the kick was asked for`);
  assert.ok(goes.closed.at - began < KICK_MS);
  assert.equal(goes.closed.code, 4403);
  const { joined } = await eve.call('GET', `/v3/rooms/${encodeURIComponent(room)}/joined_members`);
  assert.ok(eve.id in joined, 'her homeserver knows nothing of it');
  await refused(getToken(eve, room), 403, 'M_FORBIDDEN');
  assert.equal(stays.closed, null, 'nobody else is put out');
  stays.close();
});

test('while a homeserver is down the call goes on, nobody new is let in; when it is back, they are', { skip }, async () => {
  const dave = await rig.user('dave', 1);
  await alice.invite(room, dave);
  await dave.join(room, alice);
  const first = await enter(await getToken(alice, room));
  const [held, kicked] = [await getToken(bob, room), await getToken(dave, room)];
  const got = Date.now();
  await rig.homeservers[1].stop();
  await alice.kick(room, dave);
  await assert.rejects(getToken(bob, room));
  await until('the tokens are no longer fresh', () => Date.now() - got > FRESH_MS);
  await assert.rejects(enter(held), /M_CONNECTION_TIMEOUT/, 'a token from before the outage is not enough');
  await assert.rejects(enter(kicked), /M_FORBIDDEN/, 'the other homeserver knows of it');
  assert.equal(first.closed, null);
  await rig.homeservers[1].start();
  (await until('bob is let in with the token that he has', () => enter(held))).close();
  (await enter(await getToken(bob, room))).close();
  assert.equal(first.closed, null);
  first.close();
});

test('neither log nor metrics name anybody', { skip }, async () => {
  const words = [alice, bob, carol].flatMap((user) => [user.id, user.localpart, user.token, user.device]).concat(room);
  const text = [...rig.focus.log, (await rig.focus.metrics()).text].join('\n');
  assert.deepEqual(words.filter((word) => text.includes(word)), []);
});
