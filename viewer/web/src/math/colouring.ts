/** What is known of points as colours: (N, 4) bytes, red green blue and emphasis (255: drawn larger). */

import { missingCode, type Values } from "../data/container";
import { DIMS, type Basis } from "../data/manifest";
import { spreadToPoints, type Features, type Scan } from "../data/scan";
import { colorAt, idColor, type Rgb } from "./palettes";

/** Points without a value. */
export const NONE: Rgb = [112, 112, 116];
const WRONG: Rgb = [255, 140, 0];
const RIGHT: Rgb = [70, 96, 140];

export interface Range {
  readonly low: number;
  readonly high: number;
}

function blank(count: number): Uint8Array {
  const out = new Uint8Array(4 * count);
  for (let i = 0; i < out.length; i += 4) out.set(NONE, i);
  return out;
}

/** Numbers between the ends of a palette; gamma below 1 lifts the small ones. */
export function numberColors(values: Float32Array, { low, high }: Range, palette: Uint8Array, gamma = 1): Uint8Array {
  const out = blank(values.length);
  const factor = high > low ? 1 / (high - low) : 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (Number.isNaN(value)) continue;
    const part = Math.max(0, Math.min(1, (value - low) * factor));
    const at = colorAt(gamma === 1 ? part : part ** gamma);
    out[4 * i] = palette[at];
    out[4 * i + 1] = palette[at + 1];
    out[4 * i + 2] = palette[at + 2];
  }
  return out;
}

/** Heat: as numbers, and the points from the threshold up stand out; the others are dimmed towards the background. */
export function heatColors(values: Float32Array, range: Range, palette: Uint8Array, threshold: number): Uint8Array {
  const out = numberColors(values, range, palette);
  for (let i = 0; i < values.length; i++) if (values[i] >= threshold) out[4 * i + 3] = 255;
  return out;
}

export function classColors(ids: ArrayLike<number>, colors: readonly Rgb[]): Uint8Array {
  const out = blank(ids.length);
  for (let i = 0; i < ids.length; i++) out.set(colors[ids[i]] ?? NONE, 4 * i);
  return out;
}

export function idColors(ids: Values): Uint8Array {
  const missing = missingCode(ids);
  const out = blank(ids.length);
  const known = new Map<number, Rgb>();
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i];
    if (id === missing) continue;
    let color = known.get(id);
    if (color === undefined) known.set(id, (color = idColor(id)));
    out.set(color, 4 * i);
  }
  return out;
}

/** Wrongly predicted points orange and larger, right ones blue, those without a true class grey. */
export function errorColors(truth: ArrayLike<number>, prediction: ArrayLike<number>): Uint8Array {
  const out = blank(truth.length);
  for (let i = 0; i < truth.length; i++) {
    if (truth[i] === 255) continue;
    const wrong = truth[i] !== prediction[i];
    out.set(wrong ? WRONG : RIGHT, 4 * i);
    if (wrong) out[4 * i + 3] = 255;
  }
  return out;
}

/** Three readings of each point's feature as red, green, blue; grey where there is none. */
export function basisColors(features: Features, basis: Basis, count: number): Uint8Array {
  const readings = basis.axes.map((_, c) => spreadToPoints(reading(features.rows ?? new Int8Array(0), basis, c), features));
  const out = blank(count);
  for (let i = 0; i < count; i++) {
    if (Number.isNaN(readings[0][i])) continue;
    for (let c = 0; c < 3; c++) out[4 * i + c] = readings[c][i];
  }
  return out;
}

/** One reading of every row, 0 to 255; not-a-number of rows of zeros. */
function reading(rows: Int8Array, basis: Basis, c: number): Float32Array {
  const axis = basis.axes[c];
  const weights = axis.map((x) => x / 127);
  let offset = basis.low[c];
  for (let k = 0; k < DIMS; k++) offset += axis[k] * basis.mean[k];
  const factor = 255 / Math.max(basis.high[c] - basis.low[c], 1e-12);
  const out = new Float32Array(rows.length / DIMS);
  for (let i = 0; i < out.length; i++) {
    let sum = 0;
    let any = 0;
    for (let k = 0, at = i * DIMS; k < DIMS; k++) {
      any |= rows[at + k];
      sum += weights[k] * rows[at + k];
    }
    out[i] = any === 0 ? NaN : Math.max(0, Math.min(255, Math.round((sum - offset) * factor)));
  }
  return out;
}

export function heights(scan: Scan): Float32Array {
  return Float32Array.from({ length: scan.count }, (_, i) => scan.xyz[3 * i + 2]);
}

/** Distances from the sensor, metres. */
export function ranges(scan: Scan): Float32Array {
  const { xyz } = scan;
  return Float32Array.from({ length: scan.count }, (_, i) => Math.hypot(xyz[3 * i], xyz[3 * i + 1], xyz[3 * i + 2]));
}

/** 1 % and 99 % of the numbers. */
export function usualRange(values: Float32Array): Range {
  const sorted = values.filter((x) => !Number.isNaN(x)).sort();
  if (sorted.length === 0) return { low: 0, high: 1 };
  const at = (q: number): number => sorted[Math.round(q * (sorted.length - 1))];
  const [low, high] = [at(0.01), at(0.99)];
  return high > low ? { low, high } : { low, high: low + 1 };
}
