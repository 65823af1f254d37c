// What our offers say beyond what the browser writes.

/**
 * Asks for lost sound to be sent again: `a=rtcp-fb:<Opus> nack` on every audio m-line. Browsers never offer it by
 * themselves. Only what is sent says it, the local description stays as the browser made it: Chromium 156 asks for lost
 * packets as soon as the *answer* has the line, and sends its own again; Firefox 153 never asks, and is not harmed.
 */
export function askForAudioNack(sdp: string): string {
  return sdp
    .split(/^(?=m=)/m)
    .map((section) => {
      if (!section.startsWith('m=audio')) return section;
      return section.replace(/^a=rtpmap:(\d+) opus\/.*(\r?\n)/gim, (line, type: string, end: string) => {
        const ask = `a=rtcp-fb:${type} nack${end}`;
        return section.includes(ask) ? line : line + ask;
      });
    })
    .join('');
}
