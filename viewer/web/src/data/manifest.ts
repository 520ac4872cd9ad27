/** What a view holds: frames, columns, classes, models. Read once, checked, then trusted. */

import { FormatError, isRecord } from "./container";

export type SpaceName = "backbone" | "head" | "teacher";
export const SPACES: readonly SpaceName[] = ["backbone", "head", "teacher"];
/** Numbers of a feature in this page; spaces of fewer dimensions are filled up with zeros. */
export const DIMS = 64;

export interface ImageInfo {
  readonly view: string;
  readonly width: number;
  readonly height: number;
  readonly mediaType: string;
}

export interface FrameInfo {
  readonly index: number;
  readonly id: string;
  readonly drive: string;
  readonly timestamp: number | null;
  readonly numPoints: number;
  /** Points in the file: more than there are here where some pulses did not come back. */
  readonly numRows: number;
  readonly images: readonly ImageInfo[];
}

export interface ColumnInfo {
  readonly kind: "number" | "class" | "id";
  readonly unit: string | null;
  readonly low: number | null;
  readonly high: number | null;
}

/** Three linear readings of a feature: value = axes (f - mean); low is black, high is full. */
export interface Basis {
  readonly mean: Float32Array;
  readonly axes: readonly Float32Array[];
  readonly low: readonly number[];
  readonly high: readonly number[];
}

export interface SpaceInfo {
  readonly name: SpaceName;
  readonly title: string;
  readonly dims: number;
  readonly frames: "all" | ReadonlySet<number>;
  readonly pca: Basis | null;
  readonly pcaWithoutPosition: Basis | null;
}

export interface Query {
  readonly name: string;
  readonly vector: Int8Array;
}

export interface ModelInfo {
  readonly name: string;
  readonly spaces: readonly SpaceInfo[];
  /** Columns that `predictions/<m>/<i>` has. */
  readonly predictions: readonly string[];
  readonly queries: readonly Query[];
}

export interface Finding {
  readonly severity: string;
  readonly text: string;
  readonly frame: number | null;
  readonly view: string | null;
  readonly drive: string | null;
}

export interface Manifest {
  readonly title: string;
  readonly version: string;
  readonly frames: readonly FrameInfo[];
  readonly columns: ReadonlyMap<string, ColumnInfo>;
  readonly classes: readonly { readonly name: string; readonly color: readonly [number, number, number] }[];
  readonly models: readonly ModelInfo[];
  readonly findings: readonly Finding[];
  readonly canSaveLabels: boolean;
  readonly canSaveHead: boolean;
  /** Models (indices) of which the server turns a text, or an example image, into a seed. */
  readonly textQueries: readonly number[];
  readonly imageQueries: readonly number[];
}

const MEDIA = new Set(["image/jpeg", "image/png"]);

/** Checks a manifest's text and gives what the page needs of it. */
export function readManifest(text: string): Manifest {
  const raw: unknown = JSON.parse(text);
  if (!isRecord(raw)) throw new FormatError("the manifest is no object");
  if (raw.format !== 1) throw new FormatError(`the data has format ${String(raw.format)}, this page reads 1: use the page of that lidistill`);
  const frames = list(raw.frames).map(readFrame);
  if (frames.length === 0) throw new FormatError("the manifest lists no frames");
  const able = isRecord(raw.capabilities) ? raw.capabilities : {};
  const query = isRecord(able.query) ? able.query : {};
  return {
    title: text_(raw.title),
    version: text_(raw.lidistill),
    frames,
    columns: new Map(Object.entries(isRecord(raw.columns) ? raw.columns : {}).map(([name, c]) => [name, readColumn(c)])),
    classes: list(raw.classes).map((c) => (isRecord(c) ? { name: text_(c.name), color: readColor(c.color) } : { name: "", color: GREY })),
    models: list(raw.models).map(readModel),
    findings: list(raw.findings).map((f) => readFinding(f, frames)),
    canSaveLabels: able.save_labels === true,
    canSaveHead: able.save_head === true,
    textQueries: list(query.text).filter(isIndex),
    imageQueries: list(query.image).filter(isIndex),
  };
}

function readFrame(raw: unknown): FrameInfo {
  if (!isRecord(raw) || !isIndex(raw.index)) throw new FormatError("a frame of the manifest has no index");
  return {
    index: raw.index,
    id: text_(raw.id),
    drive: text_(raw.drive),
    timestamp: typeof raw.timestamp_s === "number" ? raw.timestamp_s : null,
    numPoints: isIndex(raw.num_points) ? raw.num_points : 0,
    numRows: isIndex(raw.num_rows) ? raw.num_rows : isIndex(raw.num_points) ? raw.num_points : 0,
    images: list(raw.images).map((image) => {
      if (!isRecord(image) || !isIndex(image.width) || !isIndex(image.height) || image.width * image.height === 0) {
        throw new FormatError(`an image of frame ${String(raw.index)} has no size`);
      }
      const mediaType = MEDIA.has(String(image.media_type)) ? String(image.media_type) : "image/jpeg";
      return { view: text_(image.view), width: image.width, height: image.height, mediaType };
    }),
  };
}

function readColumn(raw: unknown): ColumnInfo {
  const c = isRecord(raw) ? raw : {};
  return {
    kind: c.kind === "class" || c.kind === "id" ? c.kind : "number",
    unit: typeof c.unit === "string" ? c.unit : null,
    low: typeof c.low === "number" ? c.low : null,
    high: typeof c.high === "number" ? c.high : null,
  };
}

function readModel(raw: unknown): ModelInfo {
  if (!isRecord(raw)) throw new FormatError("a model of the manifest is no object");
  const spaces = list(raw.spaces).map((s): SpaceInfo => {
    const name = isRecord(s) ? SPACES.find((known) => known === s.name) : undefined;
    if (!isRecord(s) || name === undefined) throw new FormatError(`a model has a space that is none of ${SPACES.join(", ")}`);
    if (!isIndex(s.dims) || s.dims < 3 || s.dims > DIMS) throw new FormatError(`features have ${String(s.dims)} dimensions, expected 3 to ${DIMS}`);
    return {
      name,
      title: text_(s.title) || name,
      dims: s.dims,
      frames: s.frames === "all" || s.frames === undefined ? "all" : new Set(list(s.frames).filter(isIndex)),
      pca: readBasis(s.pca_rgb, s.dims),
      pcaWithoutPosition: readBasis(s.pca_rgb_without_position, s.dims),
    };
  });
  const queries = list(raw.queries).flatMap((q) => (isRecord(q) && isVector(q.vector) ? [{ name: text_(q.name), vector: Int8Array.from(q.vector) }] : []));
  const predictions = list(raw.predictions).filter((name) => typeof name === "string");
  return { name: text_(raw.name), spaces, predictions, queries };
}

function readBasis(raw: unknown, dims: number): Basis | null {
  if (!isRecord(raw)) return null;
  const axes = list(raw.axes);
  const rows = [raw.mean, ...axes];
  if (axes.length !== 3 || !rows.every((row) => isNumbers(row, dims)) || !isNumbers(raw.low, 3) || !isNumbers(raw.high, 3)) {
    throw new FormatError(`a basis of colours needs mean [${dims}], axes [3][${dims}], low [3], high [3]`);
  }
  const filled = (row: unknown): Float32Array => {
    const out = new Float32Array(DIMS);
    out.set(row as number[]);
    return out;
  };
  return { mean: filled(raw.mean), axes: axes.map(filled), low: raw.low, high: raw.high };
}

function readFinding(raw: unknown, frames: readonly FrameInfo[]): Finding {
  const f = isRecord(raw) ? raw : {};
  const position = frames.findIndex((frame) => frame.index === f.frame);
  return {
    severity: text_(f.severity),
    text: text_(f.text),
    frame: position >= 0 ? position : null,
    view: typeof f.view === "string" ? f.view : null,
    drive: typeof f.drive === "string" ? f.drive : null,
  };
}

const GREY: readonly [number, number, number] = [128, 128, 128];

function readColor(raw: unknown): readonly [number, number, number] {
  const match = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(String(raw));
  return match === null ? GREY : [parseInt(match[1], 16), parseInt(match[2], 16), parseInt(match[3], 16)];
}

export function isVector(value: unknown): value is number[] {
  return isNumbers(value, DIMS) && value.every((n) => Number.isInteger(n) && Math.abs(n) <= 127);
}

function isNumbers(value: unknown, length: number): value is number[] {
  return Array.isArray(value) && value.length === length && value.every((n) => typeof n === "number" && Number.isFinite(n));
}

function isIndex(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function text_(value: unknown): string {
  return typeof value === "string" ? value : "";
}
