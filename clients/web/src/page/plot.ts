// A small line plot on a canvas: the last minute, one or two lines, a scale that fits.

export interface Line {
  readonly name: string;
  /** CSS custom property with its colour. */
  readonly colour: string;
}

const POINTS = 60;

/** The smallest of 1, 2, 5, 10, 20 … that is not below `value`. */
export function niceCeiling(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((step) => step * power >= value) ?? 10) * power;
}

export class Plot {
  readonly canvas: HTMLCanvasElement;
  readonly #lines: readonly Line[];
  readonly #floor: number;
  readonly #history: (number | null)[][];

  /** `floor`: the scale does not go below it, or noise around zero would look like a storm. */
  constructor(title: string, lines: readonly Line[], floor: number) {
    this.#lines = lines;
    this.#floor = floor;
    this.#history = lines.map(() => []);
    this.canvas = document.createElement('canvas');
    this.canvas.setAttribute('role', 'img');
    this.canvas.setAttribute('aria-label', title);
  }

  add(values: readonly (number | null)[]): void {
    this.#history.forEach((history, index) => {
      history.push(values[index] ?? null);
      if (history.length > POINTS) history.shift();
    });
  }

  draw(): void {
    const { canvas } = this;
    const { clientWidth, clientHeight } = canvas;
    const context = canvas.getContext('2d');
    if (!context || clientWidth === 0) return;
    canvas.width = clientWidth * devicePixelRatio;
    canvas.height = clientHeight * devicePixelRatio;
    context.scale(devicePixelRatio, devicePixelRatio);
    const style = getComputedStyle(canvas);
    const all = this.#history.flat().filter((value) => value !== null);
    const top = niceCeiling(Math.max(this.#floor, ...all));
    const y = (value: number): number => clientHeight - 2 - (value / top) * (clientHeight - 6);
    context.strokeStyle = style.getPropertyValue('--line');
    context.lineWidth = 1;
    for (const share of [0, 0.5, 1]) {
      context.beginPath();
      context.moveTo(0, Math.round(y(top * share)) + 0.5);
      context.lineTo(clientWidth, Math.round(y(top * share)) + 0.5);
      context.stroke();
    }
    context.fillStyle = style.getPropertyValue('--faint');
    context.font = '10px system-ui, sans-serif';
    context.fillText(String(top), 2, 13);
    this.#lines.forEach((line, index) => this.#stroke(context, this.#history[index] ?? [], y, clientWidth, style.getPropertyValue(line.colour)));
  }

  #stroke(context: CanvasRenderingContext2D, history: readonly (number | null)[], y: (value: number) => number, width: number, colour: string): void {
    context.strokeStyle = colour;
    context.lineWidth = 1.75;
    context.lineJoin = 'round';
    context.beginPath();
    let down = false;
    history.forEach((value, index) => {
      const x = width - ((history.length - 1 - index) * width) / (POINTS - 1);
      if (value === null) down = false;
      else if (down) context.lineTo(x, y(value));
      else context.moveTo(x, y(value));
      down = value !== null;
    });
    context.stroke();
  }
}
