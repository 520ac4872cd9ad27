/**
 * window.lidistill: what a test, or a curious reader at the browser's console, can ask of the page.
 *
 *   await lidistill.ready             the first scan is on the screen
 *   lidistill.state()                 everything that a link restores
 *   await lidistill.set({mode: "pca"})  changes some of it, and waits until it is shown
 *   await lidistill.setFrame(3)
 *   await lidistill.pick(120)         seed on point 120 of this frame (more = true adds to the seeds)
 *   lidistill.pixelOf(120)            where the point is on the canvas, in CSS pixels from its corner
 *   lidistill.pixels()                the same of all points: x, y and depth, one after the other
 *   lidistill.heat(panel = 0)         cosine or probability of every point, null in other modes
 *   lidistill.colors(panel = 0)       (N, 4) bytes: red, green, blue, emphasis
 *   lidistill.column("class")         values of a column of this frame
 *   lidistill.pointPixel(120, 0)      where the point lies in image 0, in pixels of the image
 *   lidistill.screenshot()            PNG of the scan; turntable(seconds): WebM
 *   lidistill.speed                   milliseconds of the last change, from call to picture
 *   lidistill.bytes()                 of scans, features and images that are kept
 *   lidistill.drawn()                 how many pictures were drawn, and how long the last one took to hand over
 */

import { decode } from "./data/container";
import { OUTSIDE } from "./data/scan";
import type { Stage } from "./render/stage";
import type { Session } from "./state/session";
import type { State } from "./state/state";
import { screenshot, turntable } from "./ui/record";

export function hooksOf(session: Session, stage: Stage, ready: Promise<void>): object {
  const hooks = {
    ready,
    speed: 0,
    state: () => session.state,
    async set(patch: Partial<State>) {
      const started = performance.now();
      await session.change(patch);
      stage.draw();
      hooks.speed = performance.now() - started;
    },
    setFrame: (frame: number) => hooks.set({ frame }),
    async pick(point: number, more = false) {
      const started = performance.now();
      await session.addSeed({ kind: "point", frame: session.state.frame, point }, { more });
      stage.draw();
      hooks.speed = performance.now() - started;
    },
    pixelOf(point: number) {
      const [x, y, depth] = stage.screen().subarray(3 * point, 3 * point + 3);
      return { x, y, depth };
    },
    pixels: () => stage.screen(),
    heat: (panel = 0) => session.shown?.panels[panel].picture.values ?? null,
    colors: (panel = 0) => session.shown?.panels[panel].picture.colors ?? null,
    column(name: string) {
      const stored = session.shown?.scan.columns.get(name);
      return stored === undefined ? null : decode(stored);
    },
    pointPixel(point: number, view: number) {
      const projection = session.shown?.scan.projections[view] ?? null;
      if (projection === null || projection.uv[2 * point] === OUTSIDE) return null;
      return { u: projection.uv[2 * point] / 4, v: projection.uv[2 * point + 1] / 4, visible: projection.visible[point] === 1 };
    },
    screenshot: () => screenshot(stage),
    turntable: (seconds: number) => turntable(stage, seconds),
    bytes: () => session.store.bytes,
    drawn: () => stage.drawn,
    look: stage.look.bind(stage),
    settled: () => session.settled(),
  };
  return hooks;
}
