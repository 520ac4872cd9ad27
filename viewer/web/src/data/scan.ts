/** A frame's points as the page uses them: metres, x forward, y left, z up. */

import { decode, FormatError, readContainer, type Stored } from "./container";
import { DIMS, type FrameInfo } from "./manifest";

/** A point that an image does not show. */
export const OUTSIDE = -32768;

/** Where the points lie in one image. */
export interface Projection {
  /** (N, 2) quarter pixels; OUTSIDE where the image does not show the point. */
  readonly uv: Int16Array;
  /** (N,) 1: seen; 0: hidden behind something nearer. */
  readonly visible: Uint8Array;
}

export interface Scan {
  readonly count: number;
  /** (N, 3) metres. */
  readonly xyz: Float32Array;
  readonly columns: ReadonlyMap<string, Stored>;
  /** (N,) place of each point in its file; null where all are here, in their order. */
  readonly fileRow: Int32Array | null;
  /** One an image of the frame, null where points are not projected. */
  readonly projections: readonly (Projection | null)[];
  readonly bytes: number;
}

export function readScan(bytes: ArrayBuffer, info: FrameInfo): Scan {
  const name = `frame ${info.index}`;
  const arrays = readContainer(bytes, name);
  const stored = arrays.get("xyz");
  if (stored === undefined || stored.shape.length !== 2 || stored.shape[1] !== 3) throw new FormatError(`${name} has no points (xyz)`);
  const count = stored.shape[0];
  const columns = columnsOf(arrays, count, name);
  const row = arrays.get("row")?.values;
  const fileRow = row instanceof Int32Array && row.length === count ? row : null;
  const projections = info.images.map((_, v) => readProjection(arrays, v, count));
  const xyz = decode(stored);
  return { count, xyz, columns, fileRow, projections, bytes: bytes.byteLength + xyz.byteLength };
}

/** Columns of what a network says about the points of a frame. */
export function readPredictions(bytes: ArrayBuffer, info: FrameInfo, count: number): ReadonlyMap<string, Stored> {
  const name = `predictions of frame ${info.index}`;
  return columnsOf(readContainer(bytes, name), count, name);
}

function columnsOf(arrays: Map<string, Stored>, count: number, name: string): ReadonlyMap<string, Stored> {
  const columns = new Map<string, Stored>();
  for (const [key, value] of arrays) {
    if (/^(xyz|row|(uv|visible)\d+)$/.test(key)) continue;
    if (value.values.length !== count) throw new FormatError(`${name}: ${key} has ${value.values.length} values for ${count} points`);
    columns.set(key, value);
  }
  return columns;
}

function readProjection(arrays: Map<string, Stored>, view: number, count: number): Projection | null {
  const uv = arrays.get(`uv${view}`)?.values;
  const visible = arrays.get(`visible${view}`)?.values;
  if (!(uv instanceof Int16Array) || !(visible instanceof Uint8Array) || uv.length !== 2 * count || visible.length !== count) return null;
  return { uv, visible };
}

/** Features of one frame in one space: unit vectors times 127, those of no feature all zeros. */
export interface Features {
  /** (M, 64) the distinct features of the points, null where only images have features. */
  readonly rows: Int8Array | null;
  /** (N,) row of each point; below 0 or at least M: no feature. Null: row i is point i's. */
  readonly ofPoint: Int32Array | null;
  /** Patches of each image, null where there are none. */
  readonly grids: readonly (Grid | null)[];
  readonly bytes: number;
}

export interface Grid {
  readonly height: number;
  readonly width: number;
  /** (height x width, 64) */
  readonly values: Int8Array;
}

export function readFeatures(bytes: ArrayBuffer, info: FrameInfo, numPoints: number): Features {
  const arrays = readContainer(bytes, `features of frame ${info.index}`);
  const f = arrays.get("f");
  const rows = f === undefined ? null : unitRows(f, `features of frame ${info.index}`);
  const of = arrays.get("of_point")?.values;
  const ofPoint = of === undefined ? null : Int32Array.from(of);
  const points = ofPoint?.length ?? (rows === null ? numPoints : rows.length / DIMS);
  if (points !== numPoints) throw new FormatError(`frame ${info.index} has ${numPoints} points, and features for ${points}`);
  const grids = info.images.map((_, v): Grid | null => {
    const grid = arrays.get(`grid${v}`);
    if (grid === undefined || grid.shape.length !== 3) return null;
    return { height: grid.shape[0], width: grid.shape[1], values: unitRows(grid, `features of image ${v}`) };
  });
  const own = (rows?.byteLength ?? 0) + (ofPoint?.byteLength ?? 0);
  return { rows, ofPoint, grids, bytes: grids.reduce((sum, grid) => sum + (grid?.values.byteLength ?? 0), own) };
}

/** Rows of 64 numbers, whatever their number of dimensions. */
function unitRows(stored: Stored, name: string): Int8Array {
  const dims = stored.shape[stored.shape.length - 1];
  const { values } = stored;
  if (!(values instanceof Int8Array) || stored.shape.length < 2 || dims > DIMS) {
    throw new FormatError(`${name} are ${stored.shape.join(" x ")}, expected rows of at most ${DIMS} int8 numbers`);
  }
  if (dims === DIMS) return values;
  const count = values.length / dims;
  const out = new Int8Array(count * DIMS);
  for (let i = 0; i < count; i++) out.set(values.subarray(i * dims, (i + 1) * dims), i * DIMS);
  return out;
}

/** Features of an image's patches at the points: of the first image that shows each. */
export function atPoints(features: Features, scan: Scan, info: FrameInfo): Features {
  const ofPoint = new Int32Array(scan.count).fill(-1);
  const total = features.grids.reduce((sum, grid) => sum + (grid?.values.length ?? 0), 0);
  const rows = new Int8Array(total);
  let first = 0;
  features.grids.forEach((grid, v) => {
    if (grid === null) return;
    rows.set(grid.values, first * DIMS);
    const projection = scan.projections[v];
    const { width, height } = info.images[v];
    for (let i = 0; projection !== null && i < scan.count; i++) {
      if (ofPoint[i] >= 0 || projection.visible[i] !== 1 || projection.uv[2 * i] === OUTSIDE) continue;
      ofPoint[i] = first + cellAt(grid, projection.uv[2 * i] / 4 / width, projection.uv[2 * i + 1] / 4 / height);
    }
    first += grid.width * grid.height;
  });
  return { ...features, rows, ofPoint, bytes: features.bytes + rows.byteLength + ofPoint.byteLength };
}

/** The feature of one point, null where it has none. */
export function featureOf(features: Features, point: number): Int8Array | null {
  const row = features.ofPoint === null ? point : features.ofPoint[point];
  if (features.rows === null || !(row >= 0 && row < features.rows.length / DIMS)) return null;
  const feature = features.rows.subarray(row * DIMS, (row + 1) * DIMS);
  return feature.some((x) => x !== 0) ? feature : null;
}

/** Numbers of the distinct features, handed to the points; not-a-number where a point has none. */
export function spreadToPoints(ofRow: Float32Array, features: Features): Float32Array {
  const { ofPoint } = features;
  if (ofPoint === null) return ofRow;
  const out = new Float32Array(ofPoint.length);
  for (let i = 0; i < out.length; i++) {
    const row = ofPoint[i];
    out[i] = row >= 0 && row < ofRow.length ? ofRow[row] : NaN;
  }
  return out;
}

/** Number of the patch at a place of the image, given as parts of its width and height. */
export function cellAt(grid: Grid, u: number, v: number): number {
  const column = Math.min(grid.width - 1, Math.max(0, Math.floor(u * grid.width)));
  const row = Math.min(grid.height - 1, Math.max(0, Math.floor(v * grid.height)));
  return row * grid.width + column;
}
