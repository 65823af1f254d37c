// What runs inside every page, before the page's own scripts: `window.e2e` reads what a person would see and hear.
// This function is sent to the browser as text, so it names nothing outside itself.

export function instrument() {
  const SAMPLE_MS = 200;
  const seen = 'video[data-participant], audio[data-participant]';
  const keyOf = (element) => `${element.dataset.participant}/${element.dataset.source}/${element.tagName.toLowerCase()}`;

  /** All that the page made: in Matrix there may be several focuses, and peers. */
  const connections = [];
  window.RTCPeerConnection = new Proxy(window.RTCPeerConnection, {
    construct(target, parameters) {
      const connection = Reflect.construct(target, parameters);
      connections.push(connection);
      return connection;
    },
  });
  const call = () => window.sfuCall ?? window.sfuMatrixCall;
  const open = () => connections.filter(({ connectionState }) => connectionState !== 'closed');

  /** inbound-rtp by the id of the track that it feeds. A slot that had several SSRCs counts as one. */
  async function inbound() {
    const byTrack = new Map();
    for (const report of await Promise.all(open().map((connection) => connection.getStats()))) addInbound(report, byTrack);
    return byTrack;
  }

  function addInbound(report, byTrack) {
    for (const entry of report.values()) {
      if (entry.type !== 'inbound-rtp') continue;
      const sum = byTrack.get(entry.trackIdentifier) ?? { decoded: 0, keyFrames: 0, freezes: 0, energy: 0, samples: 0, concealed: 0, packets: 0, lost: 0, nacks: 0, again: 0, plis: 0, playout: null, codec: null };
      sum.decoded += entry.framesDecoded ?? 0;
      sum.keyFrames += entry.keyFramesDecoded ?? 0;
      sum.freezes += entry.freezeCount ?? 0;
      sum.energy += entry.totalAudioEnergy ?? 0;
      sum.samples += entry.totalSamplesReceived ?? 0;
      sum.concealed += entry.concealedSamples ?? 0;
      sum.packets += entry.packetsReceived ?? 0;
      sum.lost += entry.packetsLost ?? 0;
      sum.nacks += entry.nackCount ?? 0;
      sum.again += entry.retransmittedPacketsReceived ?? 0;
      sum.plis += entry.pliCount ?? 0;
      sum.playout = entry.estimatedPlayoutTimestamp ?? sum.playout;
      sum.codec = report.get(entry.codecId)?.mimeType ?? sum.codec;
      byTrack.set(entry.trackIdentifier, sum);
    }
  }

  const looks = new WeakMap();

  /**
   * The picture as it is on the page. `contrast`: difference between its brightest and darkest pixel; 0 is black or
   * otherwise empty. `moves`: how often it was another picture than when this was asked before. (Firefox counts no
   * presented frames without a display, so that `getVideoPlaybackQuality` says nothing there.)
   */
  function look(video) {
    const before = looks.get(video) ?? { contrast: 0, moves: 0, sum: null };
    if (video.videoWidth === 0) return before;
    const canvas = new OffscreenCanvas(64, 36);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(video, 0, 0, 64, 36);
    const { data } = context.getImageData(0, 0, 64, 36);
    let low = 255;
    let high = 0;
    let sum = 0;
    for (let at = 0; at < data.length; at += 4) {
      const light = (data[at] + data[at + 1] + data[at + 2]) / 3;
      low = Math.min(low, light);
      high = Math.max(high, light);
      sum = (sum * 31 + data[at] + 7 * data[at + 1] + 11 * data[at + 2]) % 0x1fffffff;
    }
    const now = { contrast: Math.round(high - low), moves: before.moves + (before.sum !== null && before.sum !== sum ? 1 : 0), sum };
    looks.set(video, now);
    return now;
  }

  /** Every remote media element, with what really came out of it. */
  async function media() {
    const stats = await inbound();
    return [...document.querySelectorAll(seen)].map((element) => {
      const track = element.srcObject?.getTracks()[0];
      const video = element.tagName === 'VIDEO';
      return {
        participant: element.dataset.participant,
        source: element.dataset.source,
        kind: video ? 'video' : 'audio',
        encryption: element.closest('[data-encryption]')?.dataset.encryption ?? null,
        paused: element.paused,
        width: element.videoWidth ?? 0,
        height: element.videoHeight ?? 0,
        ...(video ? { contrast: look(element).contrast, moves: looks.get(element)?.moves ?? 0 } : {}),
        ...stats.get(track?.id),
      };
    });
  }

  /** What grows as long as a track is alive. */
  const progress = (element, stats) => (element.tagName === 'VIDEO' ? stats.decoded : stats.samples - stats.concealed);

  let timer = null;
  let watched = new Map();
  let lastSample = 0;
  let longestGapMs = 0;

  async function sample() {
    const now = performance.now();
    if (lastSample > 0) longestGapMs = Math.max(longestGapMs, now - lastSample);
    lastSample = now;
    const stats = await inbound();
    const present = new Set();
    for (const element of document.querySelectorAll(seen)) {
      const key = keyOf(element);
      present.add(key);
      const own = stats.get(element.srcObject?.getTracks()[0]?.id);
      const value = own ? progress(element, own) : 0;
      const known = watched.get(key);
      if (!known) {
        watched.set(key, { grown: 0, value, changedAt: now, longestMs: 0, gone: false, paused: false });
        continue;
      }
      known.paused ||= element.closest('.starved') !== null;
      // Less than before: the element shows another track now, which counts from its own beginning.
      known.grown += value < known.value ? value : value - known.value;
      if (known.gone || value !== known.value) {
        known.changedAt = now;
        known.value = value;
        known.gone = false;
      } else {
        known.longestMs = Math.max(known.longestMs, now - known.changedAt);
      }
    }
    for (const [key, known] of watched) if (!present.has(key)) known.gone = true;
  }

  window.e2e = {
    media,
    state: () => call()?.state ?? null,
    participants: () => [...(call()?.participants.values() ?? [])].map(({ name }) => name).sort(),
    text: (selector) => document.querySelector(selector)?.textContent?.trim() ?? null,
    shown: (selector) => document.querySelector(selector)?.checkVisibility() ?? false,
    click: (selector) => document.querySelector(selector).click(),

    /** Starts to watch for standstill. */
    watch() {
      clearInterval(timer);
      watched = new Map();
      longestGapMs = 0;
      lastSample = 0;
      let busy = false;
      timer = setInterval(() => {
        if (busy) return;
        busy = true;
        sample().finally(() => (busy = false));
      }, SAMPLE_MS);
    },

    /** `{ tracks: { "name/source/kind": longest standstill in ms … }, longestGapMs: how long the page itself did not get to look }`. */
    watched: () => ({
      longestGapMs: Math.round(longestGapMs),
      tracks: Object.fromEntries([...watched].map(([key, { grown, longestMs, gone, paused }]) => [key, { longestMs: Math.round(longestMs), grown, gone, paused }])),
    }),

    /** Our own sending side, per encoding. */
    async sent() {
      const report = await window.sfuCall.peerConnection.getStats();
      return [...report.values()]
        .filter(({ type }) => type === 'outbound-rtp')
        .map(({ kind, rid, frameWidth, frameHeight, framesEncoded, packetsSent, bytesSent, qualityLimitationReason }) => ({ kind, rid, frameWidth, frameHeight, framesEncoded, packetsSent, bytesSent, qualityLimitationReason }));
    },

    /** How many connections are open, and RTP packets that came in over all of them: how silence is measured. */
    async traffic() {
      let received = 0;
      const reports = await Promise.all(open().map((connection) => connection.getStats()));
      for (const report of reports) for (const { type, packetsReceived } of report.values()) if (type === 'inbound-rtp') received += packetsReceived ?? 0;
      return { connections: reports.length, received };
    },

    /** The candidate pair in use. */
    async path() {
      const report = await window.sfuCall.peerConnection.getStats();
      const entries = [...report.values()];
      const selected = entries.find(({ type }) => type === 'transport')?.selectedCandidatePairId;
      const pair = report.get(selected) ?? entries.find((entry) => entry.type === 'candidate-pair' && (entry.selected || (entry.nominated && entry.state === 'succeeded')));
      const end = (id) => {
        const { address, port, protocol, candidateType } = report.get(id) ?? {};
        return { address, port, protocol, candidateType };
      };
      return pair ? { local: end(pair.localCandidateId), remote: end(pair.remoteCandidateId) } : null;
    },
  };
}
