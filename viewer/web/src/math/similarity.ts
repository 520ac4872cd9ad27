/** Cosine similarity of unit int8 features with a query, its counts and its threshold. */

import { DIMS } from "../data/manifest";

/** A direction in feature space: whole numbers and the factor that makes a product a cosine. */
export interface Direction {
  readonly values: Int32Array;
  readonly scale: number;
}

const FINE = 4096; // several seeds add up to a direction between the int8 steps

/** The direction of one feature, or of the sum of several unit features; null of nothing. */
export function direction(vectors: readonly Int8Array[]): Direction | null {
  if (vectors.length === 1) return { values: Int32Array.from(vectors[0]), scale: 1 / (127 * 127) };
  const sum = new Float64Array(DIMS);
  for (const vector of vectors) {
    const length = Math.hypot(...vector) || 1;
    for (let k = 0; k < DIMS; k++) sum[k] += vector[k] / length;
  }
  const length = Math.hypot(...sum);
  if (length === 0) return null;
  return { values: Int32Array.from(sum, (x) => Math.round((x / length) * FINE)), scale: 1 / (FINE * 127) };
}

/** Cosine of every row of `features` (N, 64) with the direction, rounding kept within [-1, 1]; not-a-number for rows of zeros. */
export function similarity(features: Int8Array, query: Direction, out = new Float32Array(features.length / DIMS)): Float32Array {
  const q = query.values;
  const count = out.length;
  for (let i = 0, j = 0; i < count; i++) {
    let a = 0;
    let b = 0;
    const end = j + DIMS;
    for (let k = 0; j < end; j += 4, k += 4) {
      a = (a + Math.imul(features[j], q[k]) + Math.imul(features[j + 1], q[k + 1])) | 0;
      b = (b + Math.imul(features[j + 2], q[k + 2]) + Math.imul(features[j + 3], q[k + 3])) | 0;
    }
    const product = (a + b) | 0;
    out[i] = product === 0 && isZero(features, end - DIMS) ? NaN : Math.max(-1, Math.min(1, product * query.scale));
  }
  return out;
}

function isZero(features: Int8Array, from: number): boolean {
  for (let k = 0; k < DIMS; k++) if (features[from + k] !== 0) return false;
  return true;
}

export interface Spread {
  /** Cosine of the coldest colour: 0, what has nothing in common, where cosines go below it. */
  readonly low: number;
  readonly high: number;
  /** The cosine that parts what is above `low` best into two kinds (Otsu: largest variance between them). */
  readonly split: number;
}

const BINS = 256;

/** How the cosines of a scan are spread. */
export function spread(heat: Float32Array): Spread {
  let lowest = Infinity;
  let highest = -Infinity;
  for (const x of heat) {
    if (x < lowest) lowest = x;
    if (x > highest) highest = x;
  }
  if (!(highest > lowest)) return { low: 0, high: 1, split: 0.5 };
  const low = highest > 0 ? Math.max(0, lowest) : lowest;
  const counts = new Float64Array(BINS);
  const step = (highest - low) / BINS;
  let total = 0;
  for (const x of heat) {
    if (Number.isNaN(x)) continue;
    counts[Math.max(0, Math.min(BINS - 1, Math.floor((x - low) / step)))]++;
    total++;
  }
  return { low, high: highest, split: low + otsu(counts, total) * step };
}

function otsu(counts: Float64Array, total: number): number {
  let sum = 0;
  for (let b = 0; b < BINS; b++) sum += b * counts[b];
  let best = 0;
  let bestAt = BINS / 2;
  let left = 0;
  let leftSum = 0;
  for (let b = 0; b < BINS - 1; b++) {
    left += counts[b];
    leftSum += b * counts[b];
    const right = total - left;
    if (left === 0 || right === 0) continue;
    const gap = leftSum / left - (sum - leftSum) / right;
    const between = left * right * gap * gap;
    if (between > best) {
      best = between;
      bestAt = b + 1;
    }
  }
  return bestAt;
}

export function countAbove(values: Float32Array, threshold: number): number {
  let count = 0;
  for (const x of values) if (x >= threshold) count++;
  return count;
}
