// Runs in a page before its own scripts: its camera shows what no encoder can make small, so that each layer takes all
// of its bit rate. Sent to the browser as text.

export function busyCamera() {
  const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  const noise = new OffscreenCanvas(512, 512);
  const pixels = new ImageData(512, 512);
  const words = new Uint32Array(pixels.data.buffer);
  for (let at = 0; at < words.length; at++) words[at] = 0xff000000 | ((Math.random() * 0xffffff) & 0x7f7f7f);
  noise.getContext('2d').putImageData(pixels, 0, 0);

  navigator.mediaDevices.getUserMedia = async (constraints) => {
    const stream = await real(constraints);
    for (const track of stream.getVideoTracks()) {
      stream.removeTrack(track);
      track.stop();
      const canvas = document.createElement('canvas');
      canvas.width = constraints.video.width?.ideal ?? 640;
      canvas.height = constraints.video.height?.ideal ?? 360;
      const context = canvas.getContext('2d');
      setInterval(() => {
        context.fillStyle = `hsl(${performance.now() / 20} 60% 50%)`;
        context.fillRect(0, 0, canvas.width, canvas.height);
        for (let x = 0; x < canvas.width / 2; x += 512) {
          for (let y = 0; y < canvas.height; y += 512) context.drawImage(noise, x - Math.random() * 64, y - Math.random() * 64);
        }
      }, 66);
      stream.addTrack(canvas.captureStream(15).getVideoTracks()[0]);
    }
    return stream;
  };
}
