import { describe, expect, it } from "vitest";

import { DIMS } from "../src/data/manifest";
import { basisColors, classColors, errorColors, heatColors, numberColors, usualRange } from "../src/math/colouring";
import { minimise } from "../src/math/lbfgs";
import { fitHead, mostProbable, probability } from "../src/math/logistic";
import { HEAT, NUMBERS, PALETTES, idColor } from "../src/math/palettes";
import { pointAt, pointBeside, pointsInside, toScreen } from "../src/math/screen";
import { countAbove, direction, similarity, spread } from "../src/math/similarity";
import { clustered } from "./containers";

function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (let k = 0; k < DIMS; k++) [dot, aa, bb] = [dot + a[k] * b[k], aa + a[k] ** 2, bb + b[k] ** 2];
  return dot / Math.sqrt(aa * bb);
}

describe("similarity", () => {
  const { features } = clustered(500, 4, 0.8);
  const row = (i: number): Int8Array => features.subarray(i * DIMS, (i + 1) * DIMS);

  it("is the cosine, as rounding to 127 steps allows", () => {
    const heat = similarity(features, direction([row(3)])!);
    for (let i = 0; i < heat.length; i++) expect(Math.abs(heat[i] - cosine(row(i), row(3)))).toBeLessThan(0.02);
  });

  it("of several seeds is the cosine with their sum", () => {
    const heat = similarity(features, direction([row(3), row(8), row(11)])!);
    const unit = (v: Int8Array): number[] => Array.from(v, (x) => x / Math.hypot(...v));
    const [a, b, c] = [unit(row(3)), unit(row(8)), unit(row(11))];
    const sum = a.map((x, k) => x + b[k] + c[k]);
    for (let i = 0; i < heat.length; i++) expect(Math.abs(heat[i] - cosine(row(i), sum))).toBeLessThan(0.01);
  });

  it("has no value for a point without a feature, and none of nothing", () => {
    expect(similarity(new Int8Array(DIMS), direction([row(0)])!)[0]).toBeNaN();
    expect(direction([])).toBeNull();
  });

  it("parts a scan where its two kinds part", () => {
    const heat = Float32Array.from({ length: 1000 }, (_, i) => (i < 200 ? 0.8 + 0.0005 * i : 0.1 + 0.0002 * i));
    const { low, high, split } = spread(heat);
    expect(split).toBeGreaterThan(0.3);
    expect(split).toBeLessThanOrEqual(0.8);
    expect(countAbove(heat, split)).toBe(200);
    expect(low).toBeCloseTo(0.14, 2);
    expect(high).toBeCloseTo(0.8995, 3);
    expect(spread(new Float32Array(3).fill(NaN))).toEqual({ low: 0, high: 1, split: 0.5 });
    expect(spread(Float32Array.of(-0.9, -0.5, 0.1, 0.9)).low).toBe(0);
  });
});

describe("the linear head", () => {
  it("finds the least of a quadratic function", () => {
    const scale = [1, 10, 100];
    const found = minimise((x) => ({
      value: scale.reduce((sum, s, i) => sum + (s / 2) * (x[i] - i) ** 2, 0),
      gradient: Float64Array.from(scale, (s, i) => s * (x[i] - i)),
    }), new Float64Array(3));
    found.forEach((x, i) => expect(x).toBeCloseTo(i, 5));
  });

  it("tells classes apart on points that it has not seen", () => {
    const { features, classes } = clustered(1000, 3, 1.2);
    const head = fitHead({ features: features.slice(0, 60 * DIMS), classes: classes.slice(0, 60) }, 3);
    const rest = features.slice(60 * DIMS);
    const right = mostProbable(head, rest).filter((c, i) => c === classes[60 + i]).length;
    expect(right / 940).toBeGreaterThan(0.97);
    const p = [0, 1, 2].map((c) => probability(head, c, rest));
    for (let i = 0; i < 940; i++) expect(p[0][i] + p[1][i] + p[2][i]).toBeCloseTo(1, 5);
    expect(probability(head, 0, new Int8Array(DIMS))[0]).toBeNaN();
  });

  it("is where the gradient of the penalised mean cross-entropy vanishes", () => {
    const { features, classes } = clustered(40, 2, 1.5, 5);
    const head = fitHead({ features, classes }, 2);
    const totals = [0, 1].map((c) => classes.filter((x) => x === c).length);
    const p = probability(head, 1, features);
    for (let k = 0; k < DIMS; k++) {
      let gradient = 1e-3 * head.weights[1][k];
      classes.forEach((c, i) => (gradient += ((p[i] - (c === 1 ? 1 : 0)) / (2 * totals[c])) * (features[i * DIMS + k] / 127)));
      expect(Math.abs(gradient)).toBeLessThan(1e-4);
    }
  });
});

describe("the screen", () => {
  // looks along -z from the origin: x right, y up; depth is -z
  const matrix = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, -1, -1, 0, 0, 0, 0];
  const lens = { matrix, width: 200, height: 100 };

  it("puts points where a pinhole puts them", () => {
    const screen = toScreen(Float32Array.of(0, 0, -2, 1, 0.5, -2, 0, 0, 2), lens);
    expect([...screen.slice(0, 6)]).toEqual([100, 50, 2, 150, 37.5, 2]);
    expect(screen[8]).toBeLessThan(0);
  });

  it("picks the nearer of two under the cursor, none behind, none far off", () => {
    const screen = Float32Array.of(50, 50, 9, 51, 50, 3, 50, 50, -1, 90, 50, 1);
    expect(pointAt(screen, { x: 50, y: 50 }, 8)).toBe(1);
    expect(pointAt(screen, { x: 20, y: 20 }, 8)).toBe(-1);
  });

  it("steps to the neighbour that way", () => {
    const screen = Float32Array.of(50, 50, 5, 62, 50, 5, 50, 62, 5, 38, 51, 5, 50, 38, 50);
    expect(pointBeside(screen, 0, "right", 12)).toBe(1);
    expect(pointBeside(screen, 0, "down", 12)).toBe(2);
    expect(pointBeside(screen, 0, "left", 12)).toBe(3);
    expect(pointBeside(screen, 1, "right", 12)).toBe(1);
  });

  it("finds what a lasso holds, dents included", () => {
    const line = [{ x: 0, y: 0 }, { x: 10, y: 0 }, { x: 10, y: 10 }, { x: 5, y: 2 }, { x: 0, y: 10 }];
    const screen = Float32Array.of(1, 5, 1, 5, 1, 1, 5, 8, 1, 9, 5, 1, 1, 5, -1, 20, 5, 1);
    expect([...pointsInside(screen, line)]).toEqual([0, 1, 3]);
  });
});

describe("colours", () => {
  it("of numbers run from one end of the palette to the other, grey for none", () => {
    const colors = numberColors(Float32Array.of(-5, 0, 10, 99, NaN), { low: 0, high: 10 }, NUMBERS);
    expect([...colors.slice(0, 3)]).toEqual([65, 68, 135]);
    expect([...colors.slice(4, 7)]).toEqual([65, 68, 135]);
    expect([...colors.slice(8, 11)]).toEqual([253, 231, 37]);
    expect([...colors.slice(12, 15)]).toEqual([253, 231, 37]);
    expect([...colors.slice(16, 20)]).toEqual([112, 112, 116, 0]);
    const lifted = numberColors(Float32Array.of(0.25), { low: 0, high: 1 }, NUMBERS, 0.5);
    expect([...lifted]).toEqual([...numberColors(Float32Array.of(0.5), { low: 0, high: 1 }, NUMBERS)]);
  });

  it("of heat stand out from the threshold up", () => {
    const colors = heatColors(Float32Array.of(0.2, 0.5, NaN), { low: 0, high: 1 }, HEAT.cividis, 0.5);
    expect([colors[3], colors[7], colors[11]]).toEqual([0, 255, 0]);
  });

  it("of heat grow lighter step by step in the palette for all eyes", () => {
    const lightness = (i: number): number => 0.2126 * HEAT.cividis[3 * i] + 0.7152 * HEAT.cividis[3 * i + 1] + 0.0722 * HEAT.cividis[3 * i + 2];
    for (let i = 8; i < 256; i += 8) expect(lightness(i)).toBeGreaterThan(lightness(i - 8));
    expect(PALETTES).toContain("cividis");
  });

  it("of classes and errors are those of the ids", () => {
    expect([...classColors([1, 255], [[1, 2, 3], [4, 5, 6]])]).toEqual([4, 5, 6, 0, 112, 112, 116, 0]);
    const errors = errorColors([0, 1, 255], [0, 2, 0]);
    expect([errors[3], errors[7], errors[11]]).toEqual([0, 255, 0]);
    expect(idColor(3)).not.toEqual(idColor(4));
  });

  it("of a basis are its readings", () => {
    const rows = new Int8Array(2 * DIMS);
    rows[0] = 127;
    const axis = (k: number): Float32Array => Float32Array.from({ length: DIMS }, (_, j) => (j === k ? 1 : 0));
    const mean = Float32Array.from({ length: DIMS }, (_, j) => (j === 1 ? -0.5 : 0));
    const basis = { mean, axes: [axis(0), axis(1), axis(2)], low: [0, 0, -1], high: [1, 1, 1] };
    const colors = basisColors({ rows, ofPoint: null, grids: [], bytes: 0 }, basis, 2);
    expect([...colors]).toEqual([255, 128, 128, 0, 112, 112, 116, 0]);
  });

  it("leave outliers out of the range", () => {
    const range = usualRange(Float32Array.from({ length: 1001 }, (_, i) => (i === 1000 ? 1e6 : i)));
    expect(range).toEqual({ low: 10, high: 990 });
  });
});
