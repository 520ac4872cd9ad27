/** Points on the screen: which one is under the cursor, which lie inside a lasso. */

/** Pixel (x, y) from the upper left corner of a panel. */
export interface Pixel {
  readonly x: number;
  readonly y: number;
}

/** A camera's view of a panel: 4 x 4 column-major projection x view, and the panel's size in pixels. */
export interface Lens {
  readonly matrix: ArrayLike<number>;
  readonly width: number;
  readonly height: number;
}

/** (N, 3) x and y in pixels and depth (metres along the view); depth is negative behind the camera. */
export function toScreen(xyz: Float32Array, lens: Lens): Float32Array {
  const m = lens.matrix;
  const out = new Float32Array(xyz.length);
  const halfWidth = lens.width / 2;
  const halfHeight = lens.height / 2;
  for (let i = 0; i < xyz.length; i += 3) {
    const x = xyz[i];
    const y = xyz[i + 1];
    const z = xyz[i + 2];
    const w = m[3] * x + m[7] * y + m[11] * z + m[15];
    out[i] = halfWidth * (1 + (m[0] * x + m[4] * y + m[8] * z + m[12]) / w);
    out[i + 1] = halfHeight * (1 - (m[1] * x + m[5] * y + m[9] * z + m[13]) / w);
    out[i + 2] = w;
  }
  return out;
}

/**
 * The point under the cursor, or -1: of those within `radius` pixels the one that is near in both senses;
 * a pixel away costs as much as 2 % farther off.
 */
export function pointAt(screen: Float32Array, at: Pixel, radius: number): number {
  let best = -1;
  let least = Infinity;
  for (let i = 0; i < screen.length; i += 3) {
    const depth = screen[i + 2];
    if (!(depth > 0)) continue;
    const dx = screen[i] - at.x;
    const dy = screen[i + 1] - at.y;
    const square = dx * dx + dy * dy;
    if (square > radius * radius) continue;
    const cost = Math.log(depth) + 0.02 * Math.sqrt(square);
    if (cost < least) {
      least = cost;
      best = i / 3;
    }
  }
  return best;
}

export type Way = "left" | "right" | "up" | "down";

const WAYS: Readonly<Record<Way, readonly [number, number]>> = { left: [-1, 0], right: [1, 0], up: [0, -1], down: [0, 1] };

/** The point that a step of `pixels` from a point on the screen leads to; the point itself where none lies that way. */
export function pointBeside(screen: Float32Array, from: number, way: Way, pixels: number): number {
  const [wx, wy] = WAYS[way];
  const x = screen[3 * from];
  const y = screen[3 * from + 1];
  const depth = screen[3 * from + 2];
  let best = from;
  let least = Infinity;
  for (let i = 0; i < screen.length; i += 3) {
    if (!(screen[i + 2] > 0)) continue;
    const along = (screen[i] - x) * wx + (screen[i + 1] - y) * wy;
    if (along < 0.5 || along > 12 * pixels) continue;
    const across = Math.abs((screen[i] - x) * wy - (screen[i + 1] - y) * wx);
    if (across > along) continue;
    const cost = Math.abs(along - pixels) + 2 * across + 40 * Math.abs(Math.log(screen[i + 2] / depth));
    if (cost < least) {
      least = cost;
      best = i / 3;
    }
  }
  return best;
}

/** Numbers of the points inside a closed line on the screen (even-odd rule). */
export function pointsInside(screen: Float32Array, line: readonly Pixel[]): Uint32Array {
  const xs = line.map((p) => p.x);
  const ys = line.map((p) => p.y);
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const found: number[] = [];
  for (let i = 0; i < screen.length; i += 3) {
    const x = screen[i];
    const y = screen[i + 1];
    if (!(screen[i + 2] > 0) || x < left || x > right || y < top || y > bottom) continue;
    let inside = false;
    for (let a = 0, b = line.length - 1; a < line.length; b = a++) {
      if (ys[a] > y !== ys[b] > y && x < ((xs[b] - xs[a]) * (y - ys[a])) / (ys[b] - ys[a]) + xs[a]) inside = !inside;
    }
    if (inside) found.push(i / 3);
  }
  return Uint32Array.from(found);
}
