import { describe, expect, it } from "vitest";

import { DIMS, readManifest, type Manifest } from "../src/data/manifest";
import type { DataSource } from "../src/data/source";
import { fromHash, toHash } from "../src/state/permalink";
import { Session, usualState } from "../src/state/session";
import { START, type State } from "../src/state/state";
import { crc32, fileName, npy, zip } from "../src/ui/files";
import { toFileRows } from "../src/ui/save";
import { clustered, container } from "./containers";

const POINTS = 300;
const { features, classes } = clustered(POINTS, 3, 0.4);

function manifest(): Manifest {
  const frame = (index: number): object => ({ index, id: `f${index}`, num_points: POINTS, images: [{ view: "v", width: 8, height: 8 }] });
  const space = { name: "backbone", title: "b", dims: DIMS };
  return readManifest(JSON.stringify({
    format: 1, title: "t", frames: [frame(10), frame(20)], columns: { odd: { kind: "number" } }, models: [{ name: "m", spaces: [space], predictions: [] }],
  }));
}

class Made implements DataSource {
  readonly kind = "static";
  readonly asked: string[] = [];
  manifest = async (): Promise<string> => "";
  json = async (): Promise<unknown> => ({});
  image = async (): Promise<Blob> => new Blob();
  post = async (): Promise<unknown> => ({});
  async binary(name: string): Promise<ArrayBuffer> {
    this.asked.push(name);
    if (name.startsWith("frame")) return container({ xyz: { values: new Float32Array(3 * POINTS), dtype: "float32", shape: [POINTS, 3] } });
    return container({ f: { values: features, dtype: "int8", shape: [POINTS, DIMS] } });
  }
}

describe("a link", () => {
  it("restores everything", () => {
    const state: State = {
      ...START, frame: 1, mode: "column", column: "odd", choice: { model: 0, space: "backbone" }, other: { model: 0, space: "backbone" },
      seeds: [{ kind: "point", frame: 0, point: 7 }, { kind: "pixel", frame: 1, view: 0, box: [0.1, 0.2, 0.1, 0.2] }],
      threshold: -0.25, gamma: 0.8, palette: "cividis", theme: "light", pointSize: 4, shading: false, dots: false, hidden: true,
      camera: { position: [1, 2, 3], target: [0, 0, 0] },
    };
    expect(fromHash(toHash(state), manifest())).toEqual(state);
  });

  it.each([
    "#", "#%", "#[]", "#null", "#not json",
    `#${encodeURIComponent('{"frame": 2, "mode": "constructor", "column": "__proto__", "pointSize": 1e9, "threshold": "1", "camera": {"position": [1, 2, null], "target": [0,0,0]}}')}`,
    `#${encodeURIComponent('{"seeds": [{"kind": "point", "frame": 0, "point": 300}, {"kind": "pixel", "frame": 0, "view": "x", "box": [0,0,2,2]}, 1, {"kind": "query", "name": "a", "vector": [1]}], "choice": {"model": 5, "space": "head"}}')}`,
  ])("that says nothing of this page changes nothing: %s", (hash) => {
    expect(fromHash(hash, manifest())).toEqual(START);
  });
});

describe("a session", () => {
  const session = (): { session: Session; source: Made } => {
    const source = new Made();
    const made = manifest();
    return { session: new Session(made, source, usualState(made, true)), source };
  };

  it("heats what is of the seed's kind, on every loaded frame", async () => {
    const { session: s } = session();
    await s.addSeed({ kind: "point", frame: 0, point: 0 });
    const { values, count, threshold } = s.shown!.panels[0].picture;
    const alike = classes.filter((c) => c === classes[0]).length;
    expect(count).toBe(alike);
    expect(values!.filter((x) => x >= threshold!).length).toBe(alike);
    expect(await s.counts()).toEqual([alike, null]);
    await s.change({ frame: 1 });
    expect(await s.counts()).toEqual([alike, alike]);
  });

  it("shows the last of many changes, and loads nothing twice", async () => {
    const { session: s, source } = session();
    const changes = [s.change({ frame: 1 }), s.change({ frame: 0 }), s.change({ frame: 1, mode: "range" })];
    await Promise.all(changes);
    await s.settled();
    expect(s.shown!.state).toMatchObject({ frame: 1, mode: "range" });
    expect(new Set(source.asked).size).toBe(source.asked.length);
  });

  it("learns a class from a few marks, with stand-ins until others are marked, and unlearns it", async () => {
    const { session: s } = session();
    const choice = s.state.choice!;
    const own = [...classes.keys()].filter((i) => classes[i] === 1);
    s.labelling.mark(0, own.slice(0, 5), 1);
    const first = await s.labelling.head(choice);
    expect(first!.standIns).toBeGreaterThan(100);
    s.labelling.mark(0, [...classes.keys()].filter((i) => classes[i] !== 1).slice(0, 20), 0);
    expect((await s.labelling.head(choice))!.standIns).toBe(0);
    const p = (await s.labelling.probability(choice, 1))!;
    const right = [...classes.keys()].filter((i) => p[i] >= 0.5 === (classes[i] === 1)).length;
    expect(right / POINTS).toBeGreaterThan(0.98);
    expect([...(await s.labelling.predict(choice, 1))].filter((c, i) => (c === 1) === (classes[i] === 1)).length / POINTS).toBeGreaterThan(0.98);
    s.labelling.undo();
    s.labelling.undo();
    expect(await s.labelling.head(choice)).toBeNull();
  });

  it("says why a mode shows nothing", async () => {
    const { session: s } = session();
    await s.change({ mode: "cluster" });
    expect(s.shown!.panels[0].picture.legend).toEqual({ kind: "text", text: "This frame has no cluster." });
  });
});

describe("files", () => {
  it("are NumPy's and PKWARE's", async () => {
    const array = npy(Uint8Array.of(1, 2, 255));
    expect(new TextDecoder("latin1").decode(array.slice(1, 6))).toBe("NUMPY");
    expect((10 + array[8] + 256 * array[9]) % 64).toBe(0);
    expect([...array.slice(-3)]).toEqual([1, 2, 255]);
    expect(crc32(new TextEncoder().encode("123456789"))).toBe(0xcbf43926);
    const bytes = new Uint8Array(await zip([{ name: "a.npy", bytes: array }]).arrayBuffer());
    expect([...bytes.slice(0, 4)]).toEqual([0x50, 0x4b, 3, 4]);
  });

  it("have names without folders", () => {
    expect(fileName("../../etc/passwd")).toBe("etc_passwd");
    expect(fileName("<b>:*?")).toBe("b_");
    expect(fileName("...")).toBe("frame");
  });

  it("have a row for every point of the file", () => {
    const info = { ...manifest().frames[0], numRows: 5 };
    expect([...toFileRows(Uint8Array.of(1, 2), Int32Array.of(3, 0), info)]).toEqual([2, 255, 255, 1, 255]);
  });
});
