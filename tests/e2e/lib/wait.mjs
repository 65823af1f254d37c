// Waiting for real state. Nothing in these tests sleeps and hopes.

const POLL_MS = 100;

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Calls `probe` until it returns something truthy, and returns that. When the deadline passes, the error says what was
 * waited for and, if `describe` is given, how things stood last. An exception in `probe` counts as "not yet".
 */
export async function until(what, probe, { deadlineMs = 15_000, pollMs = POLL_MS, describe = null } = {}) {
  const deadline = Date.now() + deadlineMs;
  let problem = null;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value;
      problem = null;
    } catch (error) {
      problem = error;
    }
    if (Date.now() >= deadline) break;
    await pause(pollMs);
  }
  const state = describe ? await Promise.resolve(describe()).catch(String) : null;
  const details = [problem && `last error: ${problem.message}`, state && `last state: ${typeof state === 'string' ? state : JSON.stringify(state)}`];
  throw new Error([`not within ${deadlineMs} ms: ${what}`, ...details.filter(Boolean)].join('\n'));
}
