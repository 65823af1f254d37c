// The address at which the call page takes a user into a room. What logs in stands in the fragment, which no browser sends.

export function matrixLink(rig, user, room, { query = {} } = {}) {
  const url = new URL('/matrix', rig.focus.origin);
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
  url.hash = new URLSearchParams({ homeserver: user.homeserver.origin, user: user.id, password: user.password, room }).toString();
  return url.href;
}
