// A camera for pictures of the page: a drawn person who moves a little, instead of the browser's test pattern.
// Runs in the page before its own scripts; `who` chooses the colours. Only who `speaks` keeps the test beep.

export function portrait({ who, speaks = false }) {
  const SCENES = [
    { wall: ['#dfe9e4', '#9fbfb0'], skin: '#e8b996', hair: '#4a3428', shirt: '#2f6f5e' },
    { wall: ['#f3e3d0', '#d9a679'], skin: '#8d5a3c', hair: '#1d1613', shirt: '#c8553d' },
    { wall: ['#dde3f2', '#93a5d1'], skin: '#f0c9a8', hair: '#b9823f', shirt: '#3d4f8f' },
    { wall: ['#efe0ec', '#bd92b4'], skin: '#c98e66', hair: '#2b2024', shirt: '#6d3b67' },
    { wall: ['#e9ecd6', '#b3bd7e'], skin: '#f2d3bb', hair: '#7d7a77', shirt: '#59642a' },
  ];
  const { wall, skin, hair, shirt } = SCENES[who % SCENES.length];

  function draw(context, width, height, seconds) {
    const unit = height / 100;
    const sway = Math.sin(seconds * 0.9 + who) * 1.2 * unit;
    const background = context.createLinearGradient(0, 0, width, height);
    background.addColorStop(0, wall[0]);
    background.addColorStop(1, wall[1]);
    context.fillStyle = background;
    context.fillRect(0, 0, width, height);
    // A window, or a shelf.
    context.fillStyle = 'rgba(255,255,255,.45)';
    if (who % 2 === 0) {
      context.fillRect(width * 0.08, 12 * unit, 30 * unit, 42 * unit);
    } else {
      context.fillRect(width * 0.62, 30 * unit, width * 0.3, 2.5 * unit);
      for (let book = 0; book < 6; book++) context.fillRect(width * 0.64 + book * 6 * unit, (16 + (book % 3) * 2) * unit, 4 * unit, (14 - (book % 3) * 2) * unit);
    }
    const x = width / 2 + sway;
    const ellipse = (cx, cy, rx, ry, colour) => {
      context.fillStyle = colour;
      context.beginPath();
      context.ellipse(cx, cy, rx * unit, ry * unit, 0, 0, 2 * Math.PI);
      context.fill();
    };
    ellipse(x, 40 * unit, 21, 25, hair);
    if (who % 2 === 0) {
      context.fillStyle = hair;
      context.fillRect(x - 21 * unit, 40 * unit, 42 * unit, 36 * unit);
    }
    ellipse(x, 116 * unit, 42, 41, shirt);
    context.fillStyle = skin;
    context.fillRect(x - 8 * unit, 60 * unit, 16 * unit, 15 * unit);
    ellipse(x, 75 * unit, 8, 5, skin);
    ellipse(x, 47 * unit, 17, 21, skin);
    ellipse(x, 27 * unit, 16, 7, hair);
    const blink = Math.sin(seconds * 2 + who * 2) > 0.97 ? 0.3 : 2;
    ellipse(x - 7 * unit, 45 * unit, 1.9, blink, '#2a211d');
    ellipse(x + 7 * unit, 45 * unit, 1.9, blink, '#2a211d');
    context.strokeStyle = '#7c3f36';
    context.lineWidth = 1.4 * unit;
    context.beginPath();
    context.arc(x, 55 * unit, 6 * unit, 0.15 * Math.PI, 0.85 * Math.PI);
    context.stroke();
  }

  const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (constraints) => {
    const stream = await real(constraints);
    if (!speaks) {
      for (const track of stream.getAudioTracks()) {
        stream.removeTrack(track);
        track.stop();
        stream.addTrack(new AudioContext().createMediaStreamDestination().stream.getAudioTracks()[0]);
      }
    }
    if (!constraints.video) return stream;
    for (const track of stream.getVideoTracks()) {
      stream.removeTrack(track);
      track.stop();
    }
    const canvas = document.createElement('canvas');
    canvas.width = constraints.video.width?.ideal ?? 640;
    canvas.height = constraints.video.height?.ideal ?? 360;
    const context = canvas.getContext('2d');
    setInterval(() => draw(context, canvas.width, canvas.height, performance.now() / 1000), 66);
    stream.addTrack(canvas.captureStream(15).getVideoTracks()[0]);
    return stream;
  };
}
