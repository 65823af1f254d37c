// A tab that is duplicated takes its storage with it, and two tabs of one device would fight over its keys. The lock goes with the page.

/** The page before this one may not be gone for good yet. */
const WAIT_MS = 3_000;

/** Whether this tab has the device for itself, from now on until the page goes. */
export async function holdDevice(user: string, device: string): Promise<boolean> {
  const name = `rust-sfu:${user}:${device}`;
  return new Promise((resolve) => {
    navigator.locks
      .request(name, { signal: AbortSignal.timeout(WAIT_MS) }, () => {
        resolve(true);
        return new Promise(() => undefined);
      })
      .catch(() => resolve(false));
  });
}
