/** Softmax regression on unit features: a linear head from a few marked points. */

import { DIMS } from "../data/manifest";
import { minimise, type Evaluated } from "./lbfgs";

/** logits = weights f + bias, of f = int8 / 127. */
export interface Head {
  /** (C, 64) */
  readonly weights: readonly Float64Array[];
  readonly bias: readonly number[];
}

export interface Examples {
  /** (N, 64) int8 features. */
  readonly features: Int8Array;
  /** (N,) class numbers, 0 to C - 1. */
  readonly classes: Uint8Array;
}

const PENALTY = 1e-3; // of |W|^2 / 2 beside the mean loss

/** The head with the least mean cross-entropy, every class weighing the same however often it is marked. */
export function fitHead(examples: Examples, numClasses: number): Head {
  const count = examples.classes.length;
  const f = Float32Array.from(examples.features, (x) => x / 127);
  const totals = new Float64Array(numClasses);
  for (const c of examples.classes) totals[c]++;
  const present = totals.filter((n) => n > 0).length;
  const width = DIMS + 1;
  const logits = new Float64Array(numClasses);
  const evaluate = (w: Float64Array): Evaluated => {
    const gradient = new Float64Array(w.length);
    let value = 0;
    for (let i = 0; i < count; i++) {
      const own = examples.classes[i];
      const share = 1 / (present * totals[own]);
      const from = i * DIMS;
      for (let c = 0; c < numClasses; c++) {
        let sum = w[c * width + DIMS];
        for (let k = 0, at = c * width; k < DIMS; k++) sum += w[at + k] * f[from + k];
        logits[c] = sum;
      }
      value -= share * Math.log(Math.max(softmax(logits)[own], 1e-300));
      for (let c = 0; c < numClasses; c++) {
        const error = share * (logits[c] - (c === own ? 1 : 0));
        for (let k = 0, at = c * width; k < DIMS; k++) gradient[at + k] += error * f[from + k];
        gradient[c * width + DIMS] += error;
      }
    }
    for (let j = 0; j < w.length; j++) {
      if (j % width === DIMS) continue;
      value += (PENALTY / 2) * w[j] * w[j];
      gradient[j] += PENALTY * w[j];
    }
    return { value, gradient };
  };
  const best = minimise(evaluate, new Float64Array(numClasses * width));
  const rows = Array.from({ length: numClasses }, (_, c) => best.slice(c * width, (c + 1) * width));
  return { weights: rows.map((row) => row.slice(0, DIMS)), bias: rows.map((row) => row[DIMS]) };
}

/** Turns logits into probabilities, in place. */
function softmax(logits: Float64Array): Float64Array {
  let most = -Infinity;
  for (const x of logits) if (x > most) most = x;
  let sum = 0;
  for (let c = 0; c < logits.length; c++) sum += logits[c] = Math.exp(logits[c] - most);
  for (let c = 0; c < logits.length; c++) logits[c] /= sum;
  return logits;
}

/** (N,) probability of one class at every row of `features`; not-a-number for rows of zeros. */
export function probability(head: Head, of: number, features: Int8Array): Float32Array {
  const out = new Float32Array(features.length / DIMS);
  eachRow(head, features, (i, logits) => (out[i] = logits === null ? NaN : softmax(logits)[of]));
  return out;
}

/** (N,) most probable class of every row of `features`; 255 for rows of zeros. */
export function mostProbable(head: Head, features: Int8Array): Uint8Array {
  const out = new Uint8Array(features.length / DIMS);
  eachRow(head, features, (i, logits) => (out[i] = logits === null ? 255 : logits.indexOf(Math.max(...logits))));
  return out;
}

function eachRow(head: Head, features: Int8Array, take: (row: number, logits: Float64Array | null) => void): void {
  const rows = head.weights.map((row) => Float32Array.from(row, (x) => x / 127));
  const logits = new Float64Array(rows.length);
  for (let i = 0, from = 0; from < features.length; i++, from += DIMS) {
    let any = 0;
    for (let k = 0; k < DIMS; k++) any |= features[from + k];
    for (let c = 0; c < rows.length; c++) {
      const row = rows[c];
      let sum = head.bias[c];
      for (let k = 0; k < DIMS; k++) sum += row[k] * features[from + k];
      logits[c] = sum;
    }
    take(i, any === 0 ? null : logits);
  }
}
