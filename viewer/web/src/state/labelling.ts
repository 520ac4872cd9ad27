/** Marked points of a few classes, and the linear head that they teach. */

import { DIMS } from "../data/manifest";
import { featureOf, spreadToPoints } from "../data/scan";
import type { Store } from "../data/store";
import { fitHead, mostProbable, probability, type Head } from "../math/logistic";
import type { Choice } from "./state";

/** Class 0: what the others are not. */
export const OTHER = "other";
/** Examples of one class at most; of more, an even choice teaches the same. */
const MOST = 2000;
/** Points that stand in for "other" until some are marked. */
const STAND_INS = 400;

interface Taught {
  readonly key: string;
  readonly head: Head;
  readonly standIns: number;
  readonly milliseconds: number;
  readonly found: Map<number, Float32Array>;
}

export class Labelling {
  readonly classes: string[] = [OTHER, "object"];
  active = 1;
  /** Class number by point, by frame. */
  readonly marks = new Map<number, Map<number, number>>();
  private readonly history: { frame: number; before: Map<number, number> }[] = [];
  private changes = 0;
  private taught: Taught | null = null;

  constructor(
    private readonly store: Store,
    private readonly numFrames: number,
  ) {}

  get version(): number {
    return this.changes;
  }

  mark(frame: number, points: Iterable<number>, as: number | null): void {
    const marks = this.marks.get(frame) ?? new Map<number, number>();
    this.history.push({ frame, before: new Map(marks) });
    if (this.history.length > 50) this.history.shift();
    for (const point of points) {
      if (as === null) marks.delete(point);
      else marks.set(point, as);
    }
    this.marks.set(frame, marks);
    this.changes++;
  }

  undo(): boolean {
    const last = this.history.pop();
    if (last === undefined) return false;
    this.marks.set(last.frame, last.before);
    this.changes++;
    return true;
  }

  clear(): void {
    this.marks.clear();
    this.history.length = 0;
    this.changes++;
  }

  rename(index: number, name: string): void {
    this.classes[index] = name;
    this.changes++;
  }

  addClass(name: string): void {
    this.classes.push(name);
    this.active = this.classes.length - 1;
    this.changes++;
  }

  counts(): number[] {
    const counts = this.classes.map(() => 0);
    for (const marks of this.marks.values()) for (const c of marks.values()) counts[c]++;
    return counts;
  }

  /** The head that the marks teach; null until a class is marked. */
  async head(choice: Choice): Promise<Taught | null> {
    const key = `${this.changes}/${choice.model}/${choice.space}`;
    if (this.taught?.key === key) return this.taught;
    const rows = await this.examples(choice);
    if (!rows.some(({ of }) => of > 0)) return null;
    const standIns = rows.some(({ of }) => of === 0) ? 0 : await this.addStandIns(choice, rows);
    const started = performance.now();
    const features = new Int8Array(rows.length * DIMS);
    rows.forEach(({ feature }, i) => features.set(feature, i * DIMS));
    const head = fitHead({ features, classes: Uint8Array.from(rows, ({ of }) => of) }, this.classes.length);
    this.taught = { key, head, standIns, milliseconds: performance.now() - started, found: new Map() };
    return this.taught;
  }

  /** Probability of the active class at the points of a frame. */
  async probability(choice: Choice, frame: number): Promise<Float32Array | null> {
    const taught = await this.head(choice);
    const features = taught === null ? null : await this.store.features(choice.model, choice.space, frame);
    if (taught === null || features === null || features.rows === null) return null;
    const name = frame * 256 + this.active;
    let found = taught.found.get(name);
    if (found === undefined) {
      found = spreadToPoints(probability(taught.head, this.active, features.rows), features);
      taught.found.set(name, found);
    }
    return found;
  }

  /** The class that the head gives each point of a frame; 255 where there is none to give. */
  async predict(choice: Choice, frame: number): Promise<Uint8Array> {
    const taught = await this.head(choice);
    const { count } = await this.store.scan(frame);
    const features = taught === null ? null : await this.store.features(choice.model, choice.space, frame);
    if (taught === null || features === null || features.rows === null) return new Uint8Array(count).fill(255);
    const ofRow = mostProbable(taught.head, features.rows);
    const { ofPoint } = features;
    return ofPoint === null ? ofRow : Uint8Array.from(ofPoint, (row) => ofRow[row] ?? 255);
  }

  private async examples(choice: Choice): Promise<{ feature: Int8Array; of: number }[]> {
    const every = this.counts().map((n) => Math.max(1, Math.ceil(n / MOST)));
    const seen = this.classes.map(() => 0);
    const rows: { feature: Int8Array; of: number }[] = [];
    for (const [frame, marks] of this.marks) {
      const features = marks.size > 0 ? await this.store.features(choice.model, choice.space, frame) : null;
      if (features === null) continue;
      for (const [point, of] of marks) {
        const feature = seen[of]++ % every[of] === 0 ? featureOf(features, point) : null;
        if (feature !== null) rows.push({ feature, of });
      }
    }
    return rows;
  }

  /** Points spread evenly over the marked frames' order in the file, none of them marked. */
  private async addStandIns(choice: Choice, rows: { feature: Int8Array; of: number }[]): Promise<number> {
    const before = rows.length;
    for (let frame = 0; frame < this.numFrames; frame++) {
      const marks = this.marks.get(frame);
      const features = marks !== undefined && marks.size > 0 ? await this.store.features(choice.model, choice.space, frame) : null;
      if (features === null || marks === undefined) continue;
      const { count } = await this.store.scan(frame);
      const step = Math.max(1, Math.floor(count / STAND_INS));
      for (let point = 0; point < count; point += step) {
        const feature = marks.has(point) ? null : featureOf(features, point);
        if (feature !== null) rows.push({ feature, of: 0 });
      }
    }
    return rows.length - before;
  }
}
