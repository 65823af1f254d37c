// Whether a medium really plays, found out by playing it where nobody sees it.

/** After this long the medium is used all the same: the other way may be gone. */
const PLAYS_MS = 5_000;

export function plays(media: MediaStreamTrack): Promise<void> {
  if (media.kind === 'audio') return Promise.resolve();
  return new Promise((resolve) => {
    const video = document.createElement('video');
    video.muted = true;
    video.srcObject = new MediaStream([media]);
    const done = (): void => {
      clearTimeout(timer);
      video.srcObject = null;
      resolve();
    };
    const timer = setTimeout(done, PLAYS_MS);
    video.requestVideoFrameCallback(done);
    video.play().catch(() => undefined);
  });
}
