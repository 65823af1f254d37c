// The address at which the call page takes a user into a room. The login stands in the fragment, which no browser sends.

/**
 * `words`: further ones that the page knows, such as `mesh: '1'`. The page joins by itself, and gives the new account cross-signing
 * keys. `query`: media options, as on the first page. `site`: where the page comes from.
 */
export function matrixLink(rig, user, room, { words = {}, query = {}, site = rig.focus.origin } = {}) {
  const url = new URL('/matrix', site);
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
  const { homeserver, id, password } = user;
  url.hash = new URLSearchParams({ homeserver: homeserver.origin, user: id, password, room, join: '1', crosssign: '1', ...words }).toString();
  return url.href;
}
