import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CourseKeeper, UNDECIDED_MS, type Situation } from '../../src/matrix/course.ts';
import { byAge, type Membership } from '../../src/matrix/membership.ts';
import { SHRINK_AFTER_MS } from '../../src/matrix/ways.ts';
import { FakeClock } from './helpers.ts';
import { member } from './matrix-helpers.ts';

const MESH = [{ type: 'rust_sfu', url: 'wss://a', sfu_id: 'a' }, { type: 'full_mesh' }];
const [me, bob, carol] = [member('@me:x', {}, MESH), member('@bob:x', {}, MESH), member('@carol:x', {}, MESH)];
const plain = member('@plain:x');

function keeper(mesh = true): { course: CourseKeeper; clock: FakeClock; again: () => number } {
  const clock = new FakeClock();
  let count = 0;
  return { course: new CourseKeeper({ clock, wallClock: () => clock.now(), mesh, again: () => count++ }), clock, again: () => count };
}

function with_(others: Membership[], more: Partial<Situation> = {}): Situation {
  const own = more.own === undefined ? me : more.own;
  return { own, others, everybody: [...others, ...(own ? [own] : [])].sort(byAge), lastLeftAt: null, overFocus: false, ...more };
}

test('while our own event is not back, nothing is decided and no focus hears of us', () => {
  const { course, clock, again } = keeper();
  assert.equal(course.decide(with_([])), 'alone');
  assert.equal(course.decide(with_([bob], { own: null })), 'undecided');
  clock.advance(UNDECIDED_MS - 1);
  assert.equal(course.decide(with_([bob], { own: null })), 'undecided', 'counted from the first time');
  assert.equal(course.decide(with_([bob])), 'mesh');
  clock.advance(10 * UNDECIDED_MS);
  assert.equal(again(), 0, 'nothing is waited for any more');
});

test('a homeserver that does not bring our event back does not keep us silent', () => {
  const { course, clock, again } = keeper();
  course.decide(with_([bob], { own: null }));
  clock.advance(UNDECIDED_MS);
  assert.equal(again(), 1);
  assert.equal(course.decide(with_([bob], { own: null })), 'focus');
});

test('where a direct connection is out of the question, nothing is waited for', () => {
  const { course } = keeper();
  assert.equal(course.decide(with_([plain], { own: null })), 'focus');
  assert.equal(course.decide(with_([bob, carol], { own: null })), 'focus');
  assert.equal(course.decide(with_([bob], { own: null, overFocus: true })), 'focus', 'a call that goes on');
  course.failed(bob);
  assert.equal(course.decide(with_([bob], { own: null })), 'focus');
  assert.equal(course.decide(with_([bob])), 'focus');
  assert.equal(course.decide(with_([carol])), 'mesh', 'somebody else is another matter');
  assert.equal(keeper(false).course.decide(with_([bob])), 'focus');
});

test('two who are left wait at the focus, and decide again by themselves', () => {
  const { course, clock, again } = keeper();
  assert.equal(course.decide(with_([bob, carol])), 'focus');
  clock.advance(1000);
  assert.equal(course.decide(with_([bob], { lastLeftAt: 1000, overFocus: true })), 'focus');
  clock.advance(SHRINK_AFTER_MS);
  assert.equal(again(), 1);
  assert.equal(course.decide(with_([bob], { lastLeftAt: 1000, overFocus: true })), 'mesh');
});
