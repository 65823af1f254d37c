// What everybody in a session derives alike: the name of a participant at a focus, and of the conference there (MSC4195).
// The unpadded base64 of SHA-256 over Matrix canonical JSON, which is what `JSON.stringify` writes for a list of strings.

export async function hash(words: readonly string[]): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(JSON.stringify(words)));
  return encodeBase64(new Uint8Array(digest));
}

/** What a focus calls a member. The user is part of it, so that nobody can squat somebody else's. */
export function participantIdentity(user: string, memberId: string): Promise<string> {
  return hash([user, memberId]);
}

export function conferenceIdentity(room: string, slotId: string): Promise<string> {
  return hash([room, slotId]);
}

/** Unpadded, in the alphabet that Matrix uses for keys. */
export function encodeBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replace(/=+$/, '');
}

/** Either alphabet, padded or not; `null`: it is neither. */
export function decodeBase64(text: string): Uint8Array | null {
  try {
    const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/').replace(/=+$/, ''));
    return Uint8Array.from(binary, (char) => char.charCodeAt(0));
  } catch {
    return null;
  }
}
