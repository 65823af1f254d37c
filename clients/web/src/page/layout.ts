// How many columns show `count` tiles of 16:9 the largest.

const RATIO = 16 / 9;

export function bestColumns(count: number, width: number, height: number, gap: number): number {
  let best = { columns: 1, area: 0 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const tileWidth = Math.min((width - gap * (columns - 1)) / columns, ((height - gap * (rows - 1)) / rows) * RATIO);
    const area = Math.max(0, tileWidth) ** 2;
    if (area > best.area) best = { columns, area };
  }
  return best.columns;
}

/** The width of a tile in that grid. */
export function tileWidth(count: number, columns: number, width: number, height: number, gap: number): number {
  const rows = Math.ceil(count / columns);
  return Math.floor(Math.min((width - gap * (columns - 1)) / columns, ((height - gap * (rows - 1)) / rows) * RATIO));
}
