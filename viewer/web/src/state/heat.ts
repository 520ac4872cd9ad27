/** Similarity to the seeds: of points and of image patches, kept until the seeds change. */

import type { Manifest } from "../data/manifest";
import { spreadToPoints } from "../data/scan";
import type { Store } from "../data/store";
import { direction, similarity, spread, type Direction, type Spread } from "../math/similarity";
import { featureOfSeed } from "./seeds";
import type { Choice, Seed } from "./state";

interface Query {
  readonly direction: Direction | null;
  readonly spread: Spread;
}

const KEPT = 64; // scans' heat: a number a point

export class Heat {
  private key = "";
  private readonly queries = new Map<string, Promise<Query>>();
  private readonly found = new Map<string, Float32Array>();

  constructor(
    private readonly store: Store,
    private readonly manifest: Manifest,
    private readonly seeds: () => readonly Seed[],
  ) {}

  /** Cosine of each point of a frame with the seeds; null without seeds, or without features here. */
  async ofPoints(choice: Choice, frame: number): Promise<Float32Array | null> {
    const query = await this.query(choice);
    return query.direction === null ? null : this.pointsAlong(query.direction, choice, frame);
  }

  /** Cosine of each patch of an image; null where the image has none that compare with this space. */
  async ofImage(choice: Choice, frame: number, view: number): Promise<Float32Array | null> {
    const query = await this.query(choice);
    if (query.direction === null || choice.space === "backbone") return null;
    const grid = (await this.store.features(choice.model, "teacher", frame))?.grids[view] ?? null;
    return grid === null ? null : similarity(grid.values, query.direction);
  }

  /** How the cosines of the scan of the first seed are spread: colours and threshold are the same on all frames. */
  async spread(choice: Choice): Promise<Spread> {
    return (await this.query(choice)).spread;
  }

  private query(choice: Choice): Promise<Query> {
    const key = JSON.stringify(this.seeds());
    if (key !== this.key) {
      this.key = key;
      this.queries.clear();
      this.found.clear();
    }
    const name = `${choice.model}/${choice.space}`;
    let query = this.queries.get(name);
    if (query === undefined) this.queries.set(name, (query = this.ask(choice)));
    return query;
  }

  private async ask(choice: Choice): Promise<Query> {
    const seeds = this.seeds();
    const features = await Promise.all(seeds.map((seed) => featureOfSeed(seed, choice, this.store, this.manifest)));
    const along = direction(features.flatMap((f) => f ?? []));
    const usual = { low: 0, high: 1, split: 0.7 };
    if (along === null) return { direction: null, spread: usual };
    const place = seeds.find((seed) => seed.kind !== "query");
    const first = place?.frame ?? 0;
    const heat = await this.pointsAlong(along, choice, first);
    return { direction: along, spread: heat === null ? usual : spread(heat) };
  }

  private async pointsAlong(along: Direction, choice: Choice, frame: number): Promise<Float32Array | null> {
    const name = `${choice.model}/${choice.space}/${frame}`;
    const known = this.found.get(name);
    if (known !== undefined) return known;
    const seeds = this.key;
    const features = await this.store.features(choice.model, choice.space, frame);
    if (features === null || features.rows === null) return null;
    const heat = spreadToPoints(similarity(features.rows, along), features);
    if (seeds === this.key) {
      this.found.set(name, heat);
      for (const oldest of this.found.keys()) if (this.found.size > KEPT) this.found.delete(oldest);
    }
    return heat;
  }
}
