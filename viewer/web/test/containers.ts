/** Writes what the page reads, for the tests. */

import { DIMS } from "../src/data/manifest";

interface Given {
  readonly values: ArrayBufferView;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly [more: string]: unknown;
}

export function container(arrays: Readonly<Record<string, Given>>): ArrayBuffer {
  let offset = 0;
  const entries: Record<string, unknown> = {};
  for (const [name, { values, ...about }] of Object.entries(arrays)) {
    offset = Math.ceil(offset / 8) * 8;
    entries[name] = { ...about, offset };
    offset += values.byteLength;
  }
  const header = new TextEncoder().encode(JSON.stringify({ arrays: entries }));
  const start = Math.ceil((12 + header.length) / 8) * 8;
  const out = new Uint8Array(start + offset);
  out.set(new TextEncoder().encode("LDVIEW01"));
  new DataView(out.buffer).setUint32(8, header.length, true);
  out.set(header, 12);
  for (const [name, { values }] of Object.entries(arrays)) {
    const { offset: at } = entries[name] as { offset: number };
    out.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), start + at);
  }
  return out.buffer;
}

/** Numbers that look like chance and are the same in every run (a linear congruential generator). */
export function chance(seed: number): () => number {
  let state = seed >>> 0;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}

/** (N, 64) unit rows around one of the directions each. */
export function clustered(count: number, numClasses: number, noise: number, seed = 1): { features: Int8Array; classes: Uint8Array } {
  const next = chance(seed);
  const gauss = (): number => Math.sqrt(-2 * Math.log(next() + 1e-12)) * Math.cos(2 * Math.PI * next());
  const centers = Array.from({ length: numClasses }, () => unit(Array.from({ length: DIMS }, gauss)));
  const classes = Uint8Array.from({ length: count }, () => Math.floor(next() * numClasses));
  const features = new Int8Array(count * DIMS);
  classes.forEach((c, i) => features.set(unit(centers[c].map((x) => x + (noise * gauss()) / 8)).map((x) => Math.round(127 * x)), i * DIMS));
  return { features, classes };
}

function unit(vector: readonly number[]): number[] {
  const length = Math.hypot(...vector);
  return vector.map((x) => x / length);
}
