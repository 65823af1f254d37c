// Elements by id, and the few DOM helpers that the page needs.

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element as T;
}

export function create<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';

/** An icon of the sprite in `index.html`. */
export function icon(name: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}

export function setIcon(element: Element, name: string): void {
  element.querySelector('use')?.setAttribute('href', `#i-${name}`);
}

/** A switch: pressed = on. The label says what the button is, `aria-pressed` how it stands, the tooltip what it does. */
export function setSwitch(button: HTMLElement, on: boolean, iconName: string, tooltip: string): void {
  button.setAttribute('aria-pressed', String(on));
  button.title = tooltip;
  setIcon(button, iconName);
}

const VIEWS = ['landing', 'matrix-login', 'matrix-wait', 'lobby', 'call', 'ended'] as const;

/** Shows one of the page's views and hides the others, of which each page has its own. */
export function show(view: (typeof VIEWS)[number]): void {
  for (const id of VIEWS) {
    const element = document.getElementById(id);
    if (element) element.hidden = id !== view;
  }
}
