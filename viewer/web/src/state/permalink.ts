/** A state as the part of an address after #, and back; what a link says is checked like any other input. */

import { isRecord } from "../data/container";
import { isVector, type Manifest } from "../data/manifest";
import { PALETTES } from "../math/palettes";
import { MODES, START, type Camera, type Choice, type Seed, type State } from "./state";

export function toHash(state: State): string {
  return `#${encodeURIComponent(JSON.stringify(state))}`;
}

/** The state of an address; what it does not say, or says of things that are not here, is as in `usual`. */
export function fromHash(hash: string, manifest: Manifest, usual: State = START): State {
  const raw = parse(hash);
  const one = <T>(known: readonly T[], value: unknown, otherwise: T): T => known.find((k) => k === value) ?? otherwise;
  const within = (value: unknown, low: number, high: number, otherwise: number): number =>
    typeof value === "number" && value >= low && value <= high ? value : otherwise;
  const flag = (value: unknown, otherwise: boolean): boolean => (typeof value === "boolean" ? value : otherwise);
  return {
    frame: isFrame(raw.frame, manifest) ? raw.frame : usual.frame,
    mode: one(MODES, raw.mode, usual.mode),
    column: typeof raw.column === "string" && manifest.columns.has(raw.column) ? raw.column : usual.column,
    choice: readChoice(raw.choice, manifest) ?? usual.choice,
    other: readChoice(raw.other, manifest),
    seeds: (Array.isArray(raw.seeds) ? raw.seeds.slice(0, 100) : []).flatMap((seed) => readSeed(seed, manifest) ?? []),
    threshold: typeof raw.threshold === "number" && Math.abs(raw.threshold) <= 1 ? raw.threshold : null,
    gamma: within(raw.gamma, 0.1, 3, usual.gamma),
    palette: one(PALETTES, raw.palette, usual.palette),
    theme: one(["dark", "light"] as const, raw.theme, usual.theme),
    pointSize: within(raw.pointSize, 0.5, 12, usual.pointSize),
    shading: flag(raw.shading, usual.shading),
    dots: flag(raw.dots, usual.dots),
    hidden: flag(raw.hidden, usual.hidden),
    camera: readCamera(raw.camera),
  };
}

function parse(hash: string): Record<string, unknown> {
  if (hash.length < 2) return {};
  try {
    const raw: unknown = JSON.parse(decodeURIComponent(hash.slice(1)));
    return isRecord(raw) ? raw : {};
  } catch {
    return {}; // a cut or foreign link opens the page as it usually opens
  }
}

function isFrame(value: unknown, manifest: Manifest): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < manifest.frames.length;
}

function readChoice(raw: unknown, manifest: Manifest): Choice | null {
  if (!isRecord(raw)) return null;
  const space = manifest.models[raw.model as number]?.spaces.find((s) => s.name === raw.space);
  return space === undefined ? null : { model: raw.model as number, space: space.name };
}

function readSeed(raw: unknown, manifest: Manifest): Seed | null {
  if (!isRecord(raw)) return null;
  if (raw.kind === "query") {
    return typeof raw.name === "string" && isVector(raw.vector) ? { kind: "query", name: raw.name, vector: raw.vector } : null;
  }
  if (!isFrame(raw.frame, manifest)) return null;
  const frame = manifest.frames[raw.frame];
  if (raw.kind === "point") {
    const { point } = raw;
    const known = Number.isSafeInteger(point) && (point as number) >= 0 && (point as number) < frame.numPoints;
    return known ? { kind: "point", frame: raw.frame, point: point as number } : null;
  }
  const { view, box } = raw;
  const inside = Array.isArray(box) && box.length === 4 && box.every((x) => typeof x === "number" && x >= 0 && x <= 1);
  if (raw.kind !== "pixel" || frame.images[view as number] === undefined || !inside) return null;
  return { kind: "pixel", frame: raw.frame, view: view as number, box: box as [number, number, number, number] };
}

function readCamera(raw: unknown): Camera | null {
  if (!isRecord(raw)) return null;
  const place = (value: unknown): value is [number, number, number] =>
    Array.isArray(value) && value.length === 3 && value.every((x) => typeof x === "number" && Math.abs(x) < 1e6);
  return place(raw.position) && place(raw.target) ? { position: raw.position, target: raw.target } : null;
}
