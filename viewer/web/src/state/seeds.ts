/** From a seed to its feature in the space that is looked at. */

import { DIMS, type Manifest } from "../data/manifest";
import { cellAt, featureOf, OUTSIDE, type Grid, type Scan } from "../data/scan";
import type { Store } from "../data/store";
import type { Choice, PixelSeed, Seed } from "./state";

/** The feature of a seed; null where this space has none for it. */
export async function featureOfSeed(seed: Seed, choice: Choice, store: Store, manifest: Manifest): Promise<Int8Array | null> {
  if (seed.kind === "query") return choice.space === "backbone" ? null : Int8Array.from(seed.vector);
  if (seed.kind === "pixel" && choice.space !== "backbone") {
    const grid = (await store.features(choice.model, "teacher", seed.frame))?.grids[seed.view] ?? null;
    if (grid !== null) return featureOfBox(grid, seed.box);
  }
  const features = await store.features(choice.model, choice.space, seed.frame);
  if (features === null) return null;
  if (seed.kind === "point") return featureOf(features, seed.point);
  const points = pointsOfPixel(await store.scan(seed.frame), manifest.frames[seed.frame].images[seed.view], seed);
  return mean(points.flatMap((point) => featureOf(features, point) ?? []));
}

/** The mean feature of the patches that a box touches. */
export function featureOfBox(grid: Grid, box: PixelSeed["box"]): Int8Array | null {
  const first = cellAt(grid, box[0], box[1]);
  const last = cellAt(grid, box[2], box[3]);
  const found: Int8Array[] = [];
  for (let row = Math.floor(first / grid.width); row <= Math.floor(last / grid.width); row++) {
    for (let column = first % grid.width; column <= last % grid.width; column++) {
      const at = (row * grid.width + column) * DIMS;
      found.push(grid.values.subarray(at, at + DIMS));
    }
  }
  return mean(found);
}

/** How far from a pixel its point may lie, as part of the image's width. */
const REACH = 0.02;

/** The visible points inside the seed's box, or the one nearest to its pixel. */
export function pointsOfPixel(scan: Scan, size: { width: number; height: number }, seed: PixelSeed): number[] {
  const projection = scan.projections[seed.view] ?? null;
  if (projection === null) return [];
  const [left, top, right, bottom] = seed.box;
  const inside: number[] = [];
  let nearest = -1;
  let least = (REACH * size.width) ** 2;
  for (let i = 0; i < scan.count; i++) {
    if (projection.visible[i] !== 1 || projection.uv[2 * i] === OUTSIDE) continue;
    const u = projection.uv[2 * i] / 4;
    const v = projection.uv[2 * i + 1] / 4;
    if (u >= left * size.width && u <= right * size.width && v >= top * size.height && v <= bottom * size.height) inside.push(i);
    const square = (u - ((left + right) / 2) * size.width) ** 2 + (v - ((top + bottom) / 2) * size.height) ** 2;
    if (square < least) {
      least = square;
      nearest = i;
    }
  }
  if (inside.length > 0) return inside;
  return nearest >= 0 ? [nearest] : [];
}

/** The unit vector of the sum; null of nothing. */
function mean(vectors: readonly Int8Array[]): Int8Array | null {
  const sum = new Float64Array(DIMS);
  for (const vector of vectors) for (let k = 0; k < DIMS; k++) sum[k] += vector[k];
  const length = Math.hypot(...sum);
  return length === 0 ? null : Int8Array.from(sum, (x) => Math.round((127 * x) / length));
}
