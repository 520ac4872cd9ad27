/** The page's memory: state, data, and what is being shown; everybody who draws listens to it. */

import type { Manifest } from "../data/manifest";
import type { Scan } from "../data/scan";
import type { DataSource } from "../data/source";
import { Store } from "../data/store";
import { countAbove } from "../math/similarity";
import { Heat } from "./heat";
import { Labelling } from "./labelling";
import { picture, type Picture, type Sources } from "./picture";
import { START, type Choice, type Mode, type Seed, type State } from "./state";

/** What is on the screen once all of it has been loaded. */
export interface Shown {
  readonly state: State;
  readonly scan: Scan;
  readonly panels: readonly { readonly choice: Choice | null; readonly picture: Picture }[];
}

const PATIENCE = 500; // milliseconds until the page says that it is loading

export class Session implements Sources {
  readonly store: Store;
  readonly heat: Heat;
  readonly labelling: Labelling;
  shown: Shown | null = null;
  /** The point under the cursor, here or in an image. */
  hovered: number | null = null;
  tool: "seed" | "positive" | "negative" = "seed";
  private current: State;
  private run = 0;
  private working: Promise<void> = Promise.resolve();
  private readonly listeners = { state: [] as (() => void)[], shown: [] as (() => void)[], hover: [] as (() => void)[], message: [] as ((text: string) => void)[] };

  constructor(
    readonly manifest: Manifest,
    readonly source: DataSource,
    state: State,
  ) {
    this.store = new Store(source, manifest);
    this.current = state;
    this.heat = new Heat(this.store, manifest, () => this.current.seeds);
    this.labelling = new Labelling(this.store, manifest.frames.length);
  }

  get state(): State {
    return this.current;
  }

  on(what: "state" | "shown" | "hover", listener: () => void): void {
    this.listeners[what].push(listener);
  }

  onMessage(listener: (text: string) => void): void {
    this.listeners.message.push(listener);
  }

  say(text: string): void {
    for (const listener of this.listeners.message) listener(text);
  }

  /** Changes the state; what must be loaded or computed for it follows, and the last change wins. */
  change(patch: Partial<State>): Promise<void> {
    this.current = { ...this.current, ...patch };
    for (const listener of this.listeners.state) listener();
    return this.refresh();
  }

  /** Moves the camera: nothing of the data changes. */
  moveCamera(camera: State["camera"]): void {
    this.current = { ...this.current, camera };
    for (const listener of this.listeners.state) listener();
  }

  refresh(): Promise<void> {
    const run = ++this.run;
    this.working = this.tellIfSlow(this.load(run)).catch((error: unknown) => {
      if (run === this.run) this.say(error instanceof Error ? error.message : String(error));
    });
    return this.working;
  }

  /** Does something that may fail, and says so if it does. */
  async attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.say(error instanceof Error ? error.message : String(error));
    }
  }

  hover(point: number | null): void {
    if (point === this.hovered) return;
    this.hovered = point;
    for (const listener of this.listeners.hover) listener();
  }

  addSeed(seed: Seed, { more = false } = {}): Promise<void> {
    const seeds = more ? [...this.current.seeds, seed] : [seed];
    const heatMode: Mode = this.current.choice === null ? this.current.mode : "similarity";
    return this.change({ seeds, mode: heatMode });
  }

  /** Points alike on every frame whose features are here; null for the others. */
  async counts(): Promise<(number | null)[]> {
    const { choice, mode, threshold } = this.current;
    const panel = this.shown?.panels[0];
    const limit = threshold ?? panel?.picture.threshold ?? null;
    if (choice === null || limit === null || (mode !== "similarity" && mode !== "probability")) return this.manifest.frames.map(() => null);
    return Promise.all(
      this.manifest.frames.map(async (_, frame) => {
        if (this.store.loadedFeatures(choice.model, choice.space, frame) === null) return null;
        const values = mode === "similarity" ? await this.heat.ofPoints(choice, frame) : await this.labelling.probability(choice, frame);
        return values === null ? null : countAbove(values, limit);
      }),
    );
  }

  /** Resolves when nothing is being loaded any more. */
  async settled(): Promise<void> {
    for (let run = -1; run !== this.run; ) {
      run = this.run;
      await this.working;
    }
  }

  /** A server may have to run the network first. */
  private async tellIfSlow(work: Promise<void>): Promise<void> {
    let told = false;
    const timer = setTimeout(() => {
      told = true;
      this.say("Loading");
    }, PATIENCE);
    await work.finally(() => clearTimeout(timer));
    if (told) this.say("");
  }

  private async load(run: number): Promise<void> {
    const state = this.current;
    const scan = await this.store.scan(state.frame);
    const choices = state.other === null ? [state.choice] : [state.choice, state.other];
    const pictures = await Promise.all(choices.map((choice) => picture(state, choice, scan, this)));
    if (run !== this.run) return;
    this.shown = { state, scan, panels: choices.map((choice, i) => ({ choice, picture: pictures[i] })) };
    for (const listener of this.listeners.shown) listener();
  }
}

/** The state that a page without a link opens in. */
export function usualState(manifest: Manifest, dark: boolean): State {
  const model = manifest.models.findIndex((m) => m.spaces.length > 0);
  const spaces = model < 0 ? [] : manifest.models[model].spaces;
  const space = (spaces.find((s) => s.name === "backbone") ?? spaces[0])?.name;
  const choice = space === undefined ? null : { model, space };
  const mode: Mode = spaces.some((s) => s.pca !== null) ? "pca" : manifest.columns.has("intensity") ? "intensity" : "height";
  return { ...START, choice, mode, theme: dark ? "dark" : "light" };
}
