import { describe, expect, it } from "vitest";

import { decode, readContainer } from "../src/data/container";
import { DIMS, readManifest } from "../src/data/manifest";
import { atPoints, cellAt, featureOf, readFeatures, readScan, spreadToPoints } from "../src/data/scan";
import { Cache } from "../src/data/store";
import { container } from "./containers";

const IMAGES = [{ view: "front", width: 40, height: 20, mediaType: "image/png" }];
const INFO = { index: 0, id: "a", drive: "d", timestamp: null, numPoints: 3, numRows: 3, images: IMAGES };
const XYZ = { values: Int16Array.of(100, 0, 0, 0, -200, 0, 0, 0, 300), dtype: "int16", shape: [3, 3], scale: 0.01 };

function features(): ArrayBuffer {
  const grid = new Int8Array(2 * 4 * DIMS);
  for (let cell = 0; cell < 8; cell++) grid[cell * DIMS + cell] = 127;
  return container({ grid0: { values: grid, dtype: "int8", shape: [2, 4, DIMS] } });
}

describe("a container", () => {
  it("gives arrays and what their numbers mean", () => {
    const arrays = readContainer(container({ a: { values: Uint8Array.of(0, 10, 255), dtype: "uint8", shape: [3], scale: 0.5, zero: -1 }, b: XYZ }), "x");
    expect([...decode(arrays.get("a")!)]).toEqual([-1, 4, NaN]);
    expect([...decode(arrays.get("b")!)].slice(0, 5).map((x) => Number(x.toFixed(4)))).toEqual([1, 0, 0, 0, -2]);
  });

  it("gives rows one after the other, however they are stored", () => {
    const rows = container({ a: { values: Int16Array.of(1, 3, 5, 2, 4, 6), dtype: "int16", shape: [3, 2], layout: "columns" } });
    expect([...readContainer(rows, "x").get("a")!.values]).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it.each([
    ["nothing", () => new ArrayBuffer(3), "too short"],
    ["another file", () => new TextEncoder().encode("PNG and so on").buffer, "expected LDVIEW01"],
    ["a cut file", () => container({ a: XYZ }).slice(0, -8), "ends beyond the file"],
    ["an unknown type", () => container({ a: { ...XYZ, dtype: "constructor" } }), "dtype constructor"],
    ["a negative size", () => container({ a: { ...XYZ, shape: [-3, 3] } }), "no valid shape"],
    ["a longer size", () => container({ a: { ...XYZ, shape: [2 ** 40, 3] } }), "ends beyond the file"],
  ])("says what is wrong with %s", (_, bytes, message) => {
    expect(() => readContainer(bytes() as ArrayBuffer, "x")).toThrow(message);
  });
});

describe("a scan", () => {
  it("has columns, projections, and no column of another length", () => {
    const uv0 = { values: Int16Array.of(0, 0, -32768, -32768, 40, 40), dtype: "int16", shape: [3, 2] };
    const visible0 = { values: Uint8Array.of(1, 0, 0), dtype: "uint8", shape: [3] };
    const scan = readScan(container({ xyz: XYZ, uv0, visible0, heat: { values: Uint8Array.of(1, 2, 3), dtype: "uint8", shape: [3] } }), INFO);
    expect(scan.count).toBe(3);
    expect([...scan.columns.keys()]).toEqual(["heat"]);
    expect(scan.projections[0]?.uv[4]).toBe(40);
    expect(() => readScan(container({ xyz: XYZ, heat: { values: Uint8Array.of(1), dtype: "uint8", shape: [1] } }), INFO)).toThrow("1 values for 3 points");
  });

  it("takes the feature of the patch that shows a point, of the first image that does", () => {
    const uv0 = { values: Int16Array.of(4 * 35, 4 * 15, -32768, -32768, 4 * 3, 4 * 3), dtype: "int16", shape: [3, 2] };
    const visible0 = { values: Uint8Array.of(1, 0, 0), dtype: "uint8", shape: [3] };
    const scan = readScan(container({ xyz: XYZ, uv0, visible0 }), INFO);
    const found = atPoints(readFeatures(features(), INFO, 3), scan, INFO);
    expect(featureOf(found, 0)?.[7]).toBe(127); // row 1, column 3 of 2 x 4
    expect(featureOf(found, 1)).toBeNull();
    expect(featureOf(found, 2)).toBeNull(); // hidden
    expect(cellAt(found.grids[0]!, 1, 1)).toBe(7);
  });
});

describe("features", () => {
  const rows = Int8Array.of(1, 2, 3, 4, 5, 6); // two rows of three
  const ofPoint = { values: Int32Array.of(1, -1, 0), dtype: "int32", shape: [3] };

  it("of fewer dimensions are filled with zeros, whatever their order", () => {
    const byRows = readFeatures(container({ f: { values: rows, dtype: "int8", shape: [2, 3] }, of_point: ofPoint }), INFO, 3);
    const columns = Int8Array.of(1, 4, 2, 5, 3, 6);
    const byColumns = readFeatures(container({ f: { values: columns, dtype: "int8", shape: [2, 3], layout: "columns" }, of_point: ofPoint }), INFO, 3);
    expect(byColumns.rows).toEqual(byRows.rows);
    expect([...featureOf(byRows, 0)!.slice(0, 4)]).toEqual([4, 5, 6, 0]);
    expect(featureOf(byRows, 1)).toBeNull();
    expect([...spreadToPoints(Float32Array.of(10, 20), byRows)]).toEqual([20, NaN, 10]);
  });

  it("must be as many as the points", () => {
    expect(() => readFeatures(container({ f: { values: rows, dtype: "int8", shape: [2, 3] } }), INFO, 3)).toThrow("3 points, and features for 2");
  });
});

describe("a manifest", () => {
  const least = { format: 1, title: "t", frames: [{ index: 4, id: "a", images: [] }] };

  it("is read with its gaps", () => {
    const manifest = readManifest(JSON.stringify({ ...least, classes: [{ name: "<b>", color: "url(x)" }], findings: [{ severity: "note", text: "x", frame: 4 }] }));
    expect(manifest.frames[0].index).toBe(4);
    expect(manifest.classes[0]).toEqual({ name: "<b>", color: [128, 128, 128] });
    expect(manifest.findings[0].frame).toBe(0);
    expect(manifest.canSaveLabels).toBe(false);
  });

  it.each([
    [{ ...least, format: 2 }, "this page reads 1"],
    [{ ...least, frames: [] }, "no frames"],
    [{ ...least, frames: [{ index: 0, images: [{ view: "a", width: 0, height: 1 }] }] }, "no size"],
    [{ ...least, models: [{ name: "m", spaces: [{ name: "__proto__", dims: 64 }] }] }, "none of backbone"],
    [{ ...least, models: [{ name: "m", spaces: [{ name: "head", dims: 65 }] }] }, "65 dimensions"],
    [{ ...least, models: [{ name: "m", spaces: [{ name: "head", dims: 64, pca_rgb: { axes: [[1], [2], [3]] } }] }] }, "a basis of colours"],
  ])("that is wrong is refused in words", (raw, message) => {
    expect(() => readManifest(JSON.stringify(raw))).toThrow(message);
  });
});

describe("a cache", () => {
  it("loads a name once, forgets the oldest beyond its budget, and tries a failed name again", async () => {
    const dropped: string[] = [];
    let loads = 0;
    const cache = new Cache<string>(10, (text) => text.length, (text) => dropped.push(text));
    const load = (text: string) => async () => {
      loads++;
      return text;
    };
    await Promise.all([cache.get("a", load("aaaa")), cache.get("a", load("aaaa"))]);
    await cache.get("b", load("bbbb"));
    await cache.get("a", load("aaaa"));
    await cache.get("c", load("cccc"));
    expect([loads, dropped, cache.bytes]).toEqual([3, ["bbbb"], 8]);
    expect([cache.peek("a"), cache.peek("b")]).toEqual(["aaaa", null]);
    await expect(cache.get("d", async () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(await cache.get("d", load("d"))).toBe("d");
  });
});
