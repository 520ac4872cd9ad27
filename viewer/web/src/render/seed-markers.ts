/** What stands over the scan: seeds as rings, marks as discs, the point under the cursor as a cross. */

import type { Session } from "../state/session";
import type { Marker } from "./markers";

const SEED = [255, 255, 255] as const;
const CURSOR = [255, 214, 0] as const;
const OTHER = [40, 40, 48] as const;
const CLASSES = [[0, 190, 160], [230, 120, 0], [150, 110, 255], [0, 140, 230], [220, 60, 140]] as const;

export function markersOf({ shown, state, labelling, hovered }: Session): Marker[] {
  if (shown === null) return [];
  const { scan } = shown;
  const at = (point: number): readonly [number, number, number] => [scan.xyz[3 * point], scan.xyz[3 * point + 1], scan.xyz[3 * point + 2]];
  const { frame } = shown.state;
  const markers: Marker[] = [];
  for (const [point, of] of labelling.marks.get(frame) ?? []) {
    markers.push({ at: at(point), color: of === 0 ? OTHER : CLASSES[(of - 1) % CLASSES.length], shape: 1 });
  }
  for (const seed of state.seeds) {
    if (seed.kind === "point" && seed.frame === frame && seed.point < scan.count) markers.push({ at: at(seed.point), color: SEED, shape: 0 });
  }
  if (hovered !== null && hovered < scan.count) markers.push({ at: at(hovered), color: CURSOR, shape: 2 });
  return markers;
}
