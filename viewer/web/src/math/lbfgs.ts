/** Limited-memory BFGS with a backtracking line search, for smooth convex functions of a few hundred numbers. */

export interface Evaluated {
  readonly value: number;
  readonly gradient: Float64Array;
}

const MEMORY = 8;

/** Walks down from `start` until the gradient is shorter than `tolerance`, or for `steps` steps. */
export function minimise(
  evaluate: (x: Float64Array) => Evaluated,
  start: Float64Array,
  { steps = 100, tolerance = 1e-5 } = {},
): Float64Array {
  let x = start;
  let here = evaluate(x);
  const moves: { s: Float64Array; y: Float64Array; rho: number }[] = [];
  for (let step = 0; step < steps; step++) {
    if (norm(here.gradient) < tolerance) break;
    const way = quasiNewton(here.gradient, moves);
    const slope = dot(way, here.gradient);
    if (!(slope < 0)) break;
    let length = step === 0 ? Math.min(1, 1 / norm(here.gradient)) : 1;
    let next = x;
    let there = here;
    for (let tries = 0; tries < 30; tries++, length /= 2) {
      next = x.map((value, i) => value + length * way[i]);
      there = evaluate(next);
      if (there.value <= here.value + 1e-4 * length * slope) break;
    }
    if (!(there.value < here.value)) break;
    const s = next.map((value, i) => value - x[i]);
    const y = there.gradient.map((value, i) => value - here.gradient[i]);
    const curvature = dot(s, y);
    if (curvature > 1e-12) {
      moves.push({ s, y, rho: 1 / curvature });
      if (moves.length > MEMORY) moves.shift();
    }
    x = next;
    here = there;
  }
  return x;
}

function quasiNewton(gradient: Float64Array, moves: readonly { s: Float64Array; y: Float64Array; rho: number }[]): Float64Array {
  const way = gradient.map((g) => -g);
  const weights: number[] = [];
  for (let i = moves.length - 1; i >= 0; i--) {
    const { s, y, rho } = moves[i];
    weights[i] = rho * dot(s, way);
    add(way, y, -weights[i]);
  }
  const last = moves.at(-1);
  if (last !== undefined) {
    const scale = 1 / (last.rho * dot(last.y, last.y));
    for (let k = 0; k < way.length; k++) way[k] *= scale;
  }
  moves.forEach(({ s, y, rho }, i) => add(way, s, weights[i] - rho * dot(y, way)));
  return way;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

function norm(a: Float64Array): number {
  return Math.sqrt(dot(a, a));
}

function add(to: Float64Array, what: Float64Array, times: number): void {
  for (let i = 0; i < to.length; i++) to[i] += times * what[i];
}
