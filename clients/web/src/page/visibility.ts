// Which videos are wanted at which size: the size of their tiles in device pixels, nothing when scrolled out of view, the
// smallest while the page is hidden (a video that is shown again must not begin black).

import type { Wish } from '../index.ts';

/** Resizing a window makes many sizes; the last one counts. */
const SETTLE_MS = 200;
/** A subscriber gets one of three layers, so finer steps than this would only make messages. */
const STEP = 32;
const HIDDEN: Wish = { width: 160, height: 90, fps: 10 };

export function wishFor(width: number, height: number, ratio: number): Wish {
  const round = (length: number): number => Math.max(STEP, Math.ceil((length * ratio) / STEP) * STEP);
  return { width: round(width), height: round(height) };
}

interface Watched {
  readonly track: string;
  visible: boolean;
  wish: string | undefined;
}

export class Visibility {
  readonly #want: (track: string, wish: Wish | null) => void;
  readonly #watched = new Map<Element, Watched>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  readonly #intersections = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const watched = this.#watched.get(target);
      if (watched) watched.visible = isIntersecting;
    }
    this.#soon();
  });
  readonly #sizes = new ResizeObserver(() => this.#soon());

  constructor(want: (track: string, wish: Wish | null) => void) {
    this.#want = want;
    document.addEventListener('visibilitychange', () => this.#soon());
  }

  watch(track: string, element: Element): void {
    this.#watched.set(element, { track, visible: true, wish: undefined });
    this.#intersections.observe(element);
    this.#sizes.observe(element);
    // A first wish at once: the picture should not wait for the layout to settle.
    this.#tell();
  }

  unwatch(element: Element): void {
    this.#intersections.unobserve(element);
    this.#sizes.unobserve(element);
    this.#watched.delete(element);
  }

  #soon(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tell(), SETTLE_MS);
  }

  #tell(): void {
    for (const [element, watched] of this.#watched) {
      const { width, height } = element.getBoundingClientRect();
      const shown = watched.visible || document.hidden;
      const wish = !shown ? null : document.hidden ? HIDDEN : wishFor(width, height, devicePixelRatio);
      const key = JSON.stringify(wish);
      if (key === watched.wish) continue;
      watched.wish = key;
      this.#want(watched.track, wish);
    }
  }
}
