/** Milliseconds from seeds to heat on 35,000 and 200,000 points: `npm run speed`. */

import { DIMS } from "../src/data/manifest";
import { heatColors } from "../src/math/colouring";
import { HEAT } from "../src/math/palettes";
import { direction, similarity, spread } from "../src/math/similarity";

const ROUNDS = 30;

function median(times: number[]): number {
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
}

function time(act: () => void): string {
  for (let i = 0; i < 5; i++) act();
  const used = process.cpuUsage();
  const times = Array.from({ length: ROUNDS }, () => {
    const started = performance.now();
    act();
    return performance.now() - started;
  });
  const { user, system } = process.cpuUsage(used);
  return `${((user + system) / 1000 / ROUNDS).toFixed(1)} ms of the processor, on the clock ${median(times).toFixed(1)} (${times[0].toFixed(1)} to ${times[ROUNDS - 1].toFixed(1)})`;
}

for (const count of [35_000, 200_000]) {
  let state = 1;
  const features = Int8Array.from({ length: count * DIMS }, () => ((state = (Math.imul(state, 1664525) + 1013904223) | 0) >> 26) | 1);
  const query = direction([features.slice(0, DIMS)]);
  if (query === null) throw new Error("no direction");
  const heat = new Float32Array(count);
  console.log(`${count} points: similarity ${time(() => similarity(features, query, heat))}; spread ${time(() => spread(heat))}; colours ${time(() => heatColors(heat, { low: 0, high: 1 }, HEAT.cividis, 0.5))}`);
}
