/** Everything a link restores: what is shown, how, and from where. */

import type { SpaceName } from "../data/manifest";
import type { PaletteName } from "../math/palettes";

export const MODES = [
  "similarity", "pca", "pca-without-position", "intensity", "height", "range", "class", "prediction", "error",
  "confidence", "cluster", "probability", "column",
] as const;
export type Mode = (typeof MODES)[number];

/** A model and one of its spaces. */
export interface Choice {
  readonly model: number;
  readonly space: SpaceName;
}

export interface PointSeed {
  readonly kind: "point";
  readonly frame: number;
  readonly point: number;
}

/** A pixel of an image, or all inside a box: parts of its width and height, 0 to 1. */
export interface PixelSeed {
  readonly kind: "pixel";
  readonly frame: number;
  readonly view: number;
  readonly box: readonly [left: number, top: number, right: number, bottom: number];
}

/** A direction that somebody else found: of a text, or of an example image. */
export interface QuerySeed {
  readonly kind: "query";
  readonly name: string;
  readonly vector: readonly number[];
}

export type Seed = PointSeed | PixelSeed | QuerySeed;

export interface Camera {
  readonly position: readonly [number, number, number];
  readonly target: readonly [number, number, number];
}

export interface State {
  readonly frame: number;
  readonly mode: Mode;
  /** Column of the mode "column". */
  readonly column: string | null;
  readonly choice: Choice | null;
  /** The model of the second panel. */
  readonly other: Choice | null;
  readonly seeds: readonly Seed[];
  /** Cosine from which points count as alike; null: found from the data. */
  readonly threshold: number | null;
  readonly gamma: number;
  readonly palette: PaletteName;
  readonly theme: "dark" | "light";
  readonly pointSize: number;
  /** Eye-dome lighting: edges of depth are darkened. */
  readonly shading: boolean;
  /** Points on the images. */
  readonly dots: boolean;
  /** Also those that something nearer hides, hollow. */
  readonly hidden: boolean;
  readonly camera: Camera | null;
}

export const START: State = {
  frame: 0,
  mode: "height",
  column: null,
  choice: null,
  other: null,
  seeds: [],
  threshold: null,
  gamma: 0.5,
  palette: "blue-red",
  theme: "dark",
  pointSize: 3.5,
  shading: true,
  dots: true,
  hidden: false,
  camera: null,
};
