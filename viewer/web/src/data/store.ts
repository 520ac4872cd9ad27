/** Scans, features and images that were loaded, as many as fit into a budget; the oldest go first. */

import type { Stored } from "./container";
import { atPoints, readFeatures, readPredictions, readScan, type Features, type Scan } from "./scan";
import type { Manifest, SpaceName } from "./manifest";
import type { DataSource } from "./source";

interface Entry<T> {
  readonly promise: Promise<T>;
  value: T | null;
  bytes: number;
}

/** Loads a name once; forgets the least recently used beyond its budget. */
export class Cache<T> {
  private readonly entries = new Map<string, Entry<T>>();

  constructor(
    private readonly budget: number,
    private readonly sizeOf: (value: T) => number,
    private readonly drop: (value: T) => void = () => undefined,
  ) {}

  get(name: string, load: () => Promise<T>): Promise<T> {
    const known = this.entries.get(name);
    if (known !== undefined) {
      this.entries.delete(name);
      this.entries.set(name, known);
      return known.promise;
    }
    const entry: Entry<T> = { promise: load(), value: null, bytes: 0 };
    this.entries.set(name, entry);
    entry.promise.then(
      (value) => {
        entry.value = value;
        entry.bytes = this.sizeOf(value);
        this.shrink();
      },
      () => this.entries.delete(name), // so that the next call tries again
    );
    return entry.promise;
  }

  peek(name: string): T | null {
    return this.entries.get(name)?.value ?? null;
  }

  get bytes(): number {
    let sum = 0;
    for (const entry of this.entries.values()) sum += entry.bytes;
    return sum;
  }

  private shrink(): void {
    let sum = this.bytes;
    for (const [name, entry] of this.entries) {
      if (sum <= this.budget || this.entries.size <= 1) return;
      if (entry.value === null) continue;
      sum -= entry.bytes;
      this.entries.delete(name);
      this.drop(entry.value);
    }
  }
}

const MEGABYTE = 1 << 20;

export class Store {
  private readonly scans = new Cache<Scan>(256 * MEGABYTE, (scan) => scan.bytes);
  private readonly vectors = new Cache<Features>(384 * MEGABYTE, (f) => f.bytes);
  private readonly predictions = new Cache<ReadonlyMap<string, Stored>>(64 * MEGABYTE, (columns) => bytesOf(columns));
  private readonly bitmaps = new Cache<ImageBitmap>(256 * MEGABYTE, (b) => 4 * b.width * b.height);

  constructor(
    private readonly source: DataSource,
    private readonly manifest: Manifest,
  ) {}

  scan(frame: number): Promise<Scan> {
    const info = this.manifest.frames[frame];
    const name = `frame/${info.index}`;
    return this.scans.get(name, async () => readScan(await this.source.binary(name), info));
  }

  hasFeatures(model: number, space: SpaceName, frame: number): boolean {
    const frames = this.manifest.models[model]?.spaces.find((s) => s.name === space)?.frames;
    return frames !== undefined && (frames === "all" || frames.has(this.manifest.frames[frame].index));
  }

  /** Features of a frame; those of the teacher also at the points, read from the images' patches. */
  async features(model: number, space: SpaceName, frame: number): Promise<Features | null> {
    if (!this.hasFeatures(model, space, frame)) return null;
    const info = this.manifest.frames[frame];
    const name = `features/${model}/${space}/${info.index}`;
    const scan = await this.scan(frame);
    return this.vectors.get(name, async () => {
      const read = readFeatures(await this.source.binary(name), info, scan.count);
      return read.rows === null && space === "teacher" ? atPoints(read, scan, info) : read;
    });
  }

  /** What a model says about a frame's points, by column; null where it says nothing. */
  async predicted(model: number, frame: number): Promise<ReadonlyMap<string, Stored> | null> {
    if (this.manifest.models[model].predictions.length === 0) return null;
    const info = this.manifest.frames[frame];
    const name = `predictions/${model}/${info.index}`;
    const { count } = await this.scan(frame);
    return this.predictions.get(name, async () => readPredictions(await this.source.binary(name), info, count));
  }

  /** What a head file must say of its features beside the weights. */
  async headBasis(model: number, space: SpaceName): Promise<unknown> {
    return this.source.json(`head/${model}/${space}`);
  }

  image(frame: number, view: number): Promise<ImageBitmap> {
    const info = this.manifest.frames[frame];
    const name = `image/${info.index}/${view}`;
    return this.bitmaps.get(name, async () => createImageBitmap(await this.source.image(name, info.images[view].mediaType)));
  }

  loadedScan(frame: number): Scan | null {
    return this.scans.peek(`frame/${this.manifest.frames[frame].index}`);
  }

  loadedFeatures(model: number, space: SpaceName, frame: number): Features | null {
    return this.vectors.peek(`features/${model}/${space}/${this.manifest.frames[frame].index}`);
  }

  get bytes(): number {
    return this.scans.bytes + this.vectors.bytes + this.predictions.bytes + this.bitmaps.bytes;
  }
}

function bytesOf(columns: ReadonlyMap<string, Stored>): number {
  let sum = 0;
  for (const { values } of columns.values()) sum += values.byteLength;
  return sum;
}
