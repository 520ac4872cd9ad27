/** What a panel shows: a colour for every point and the legend that explains it. */

import { decode, type Stored } from "../data/container";
import type { ColumnInfo, Manifest } from "../data/manifest";
import type { Scan } from "../data/scan";
import type { Store } from "../data/store";
import {
  basisColors, classColors, errorColors, heatColors, heights, idColors, numberColors, ranges, usualRange, type Range,
} from "../math/colouring";
import { HEAT, NUMBERS, type Rgb } from "../math/palettes";
import { countAbove } from "../math/similarity";
import type { Heat } from "./heat";
import type { Labelling } from "./labelling";
import type { Choice, State } from "./state";

export type Legend =
  | { readonly kind: "scale"; readonly low: number; readonly high: number; readonly unit: string; readonly palette: Uint8Array }
  | { readonly kind: "names"; readonly items: readonly { readonly name: string; readonly color: Rgb; readonly count: number }[] }
  | { readonly kind: "text"; readonly text: string };

export interface Picture {
  /** (N, 4) red, green, blue, emphasis. */
  readonly colors: Uint8Array;
  readonly legend: Legend;
  /** What is counted from a threshold up; null in the other modes. */
  readonly values: Float32Array | null;
  readonly threshold: number | null;
  readonly count: number | null;
}

/** Gamma of the range: most points are near. */
const NEAR_FIRST = 0.5;

export interface Sources {
  readonly manifest: Manifest;
  readonly store: Store;
  readonly heat: Heat;
  readonly labelling: Labelling;
}

/** Draws the points of a frame as the state's mode says; says in grey why where it cannot. */
export async function picture(state: State, choice: Choice | null, scan: Scan, sources: Sources): Promise<Picture> {
  switch (state.mode) {
    case "similarity":
    case "probability":
      return choice === null ? nothing(scan, "These data come without a model's features.") : alike(state, choice, scan, sources);
    case "pca":
    case "pca-without-position":
      return choice === null ? nothing(scan, "These data come without a model's features.") : byFeature(state, choice, scan, sources);
    case "height":
      return byNumber("height", heights(scan), { ...sources.manifest.columns.get("height"), unit: "m" }, 1);
    case "range":
      return byNumber("range", ranges(scan), { ...sources.manifest.columns.get("range"), unit: "m" }, NEAR_FIRST);
    case "error":
      return byError(state, choice, scan, sources);
    default:
      return byColumn(state.mode === "column" ? (state.column ?? "") : state.mode, state, choice, scan, sources);
  }
}

async function alike(state: State, choice: Choice, scan: Scan, { heat, labelling }: Sources): Promise<Picture> {
  if (state.mode === "probability") {
    const values = await labelling.probability(choice, state.frame);
    if (values === null) return nothing(scan, "Mark points of a class: choose + and click, or draw around them with Shift.");
    return hot(values, { low: 0, high: 1 }, state.threshold ?? 0.5, `p(${labelling.classes[labelling.active]})`, state);
  }
  if (state.seeds.length === 0) return nothing(scan, "Click a point or a pixel: what else is like it?");
  const values = await heat.ofPoints(choice, state.frame);
  if (values === null) return nothing(scan, "The seed has no feature in this space, or this frame has none.");
  const { low, high, split } = await heat.spread(choice);
  return hot(values, { low, high }, state.threshold ?? split, "cosine", state);
}

function hot(values: Float32Array, range: Range, threshold: number, unit: string, state: State): Picture {
  const palette = HEAT[state.palette];
  return {
    colors: heatColors(values, range, palette, threshold),
    legend: { kind: "scale", ...range, unit, palette },
    values,
    threshold,
    count: countAbove(values, threshold),
  };
}

async function byFeature(state: State, choice: Choice, scan: Scan, { manifest, store }: Sources): Promise<Picture> {
  const space = manifest.models[choice.model].spaces.find((s) => s.name === choice.space);
  const basis = (state.mode === "pca" ? space?.pca : space?.pcaWithoutPosition) ?? null;
  const features = await store.features(choice.model, choice.space, state.frame);
  if (basis === null || features === null || features.rows === null) return nothing(scan, "This space has no such colours for this frame.");
  const without = state.mode === "pca" ? "" : ", position regressed out";
  return plain(basisColors(features, basis, scan.count), { kind: "text", text: `First three principal components${without}: the same colours on every frame.` });
}

function byNumber(name: string, values: Float32Array, column: Partial<ColumnInfo>, gamma: number): Picture {
  const usual = column.low == null || column.high == null || !(column.high > column.low) ? usualRange(values) : { low: column.low, high: column.high };
  const unit = `${name}${column.unit == null ? "" : ` (${column.unit})`}${gamma === 1 ? "" : `, gamma ${gamma}`}`;
  return plain(numberColors(values, usual, NUMBERS, gamma), { kind: "scale", ...usual, unit, palette: NUMBERS });
}

async function byError(state: State, choice: Choice | null, scan: Scan, sources: Sources): Promise<Picture> {
  const said = await column("error", state, choice, scan, sources);
  const truth = scan.columns.get("class");
  const predicted = await column("prediction", state, choice, scan, sources);
  if (said !== null && said.values instanceof Uint8Array) {
    const wrong = Uint8Array.from(said.values, (e) => (e === 255 ? 255 : 0));
    return errors(errorColors(wrong, said.values), said.values);
  }
  if (truth === undefined || predicted === null) return nothing(scan, "Errors need true labels and a model's prediction.");
  const wrong = Uint8Array.from(truth.values, (t, i) => (t === 255 ? 255 : t === predicted.values[i] ? 0 : 1));
  return errors(errorColors(truth.values, predicted.values), wrong);
}

function errors(colors: Uint8Array, wrong: Uint8Array): Picture {
  const labelled = wrong.reduce((n, e) => n + (e === 255 ? 0 : 1), 0);
  const count = wrong.reduce((n, e) => n + (e === 1 ? 1 : 0), 0);
  const share = labelled === 0 ? "" : ` (${((100 * count) / labelled).toFixed(1)} %)`;
  return plain(colors, { kind: "text", text: `Orange: ${count} of ${labelled} labelled points predicted wrongly${share}. Blue: right. Grey: no label.` });
}

/** A column of the frame, or else of what the model says of it. */
export async function column(name: string, state: State, choice: Choice | null, scan: Scan, { manifest, store }: Sources): Promise<Stored | null> {
  const own = scan.columns.get(name);
  if (own !== undefined) return own;
  if (choice === null || !manifest.models[choice.model].predictions.includes(name)) return null;
  return (await store.predicted(choice.model, state.frame))?.get(name) ?? null;
}

async function byColumn(name: string, state: State, choice: Choice | null, scan: Scan, sources: Sources): Promise<Picture> {
  const { manifest } = sources;
  const stored = await column(name, state, choice, scan, sources);
  if (stored === null) return nothing(scan, `This frame has no ${name}.`);
  const kind = manifest.columns.get(name)?.kind ?? (name === "class" || name === "prediction" ? "class" : "number");
  if (kind === "class") {
    const colors = manifest.classes.map((c) => c.color);
    return plain(classColors(stored.values, colors), { kind: "names", items: named(stored, manifest) });
  }
  if (kind === "id") return plain(idColors(stored.values), { kind: "text", text: `A colour for each ${name}.` });
  return byNumber(name, decode(stored), manifest.columns.get(name) ?? {}, name === "intensity" ? state.gamma : 1);
}

function named(stored: Stored, manifest: Manifest): { name: string; color: Rgb; count: number }[] {
  const counts = new Map<number, number>();
  for (const id of stored.values) counts.set(id, (counts.get(id) ?? 0) + 1);
  return manifest.classes
    .map(({ name, color }, id) => ({ name, color, count: counts.get(id) ?? 0 }))
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count);
}

function plain(colors: Uint8Array, legend: Legend): Picture {
  return { colors, legend, values: null, threshold: null, count: null };
}

function nothing(scan: Scan, text: string): Picture {
  return plain(numberColors(new Float32Array(scan.count).fill(NaN), { low: 0, high: 1 }, NUMBERS), { kind: "text", text });
}
