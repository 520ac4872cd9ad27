/** The frame's camera images beside the scan: same colours, same seeds, crosshair both ways. */

import type { ImageInfo } from "../data/manifest";
import { OUTSIDE } from "../data/scan";
import { HEAT } from "../math/palettes";
import { pointsOfPixel } from "../state/seeds";
import type { Session, Shown } from "../state/session";
import { button, el } from "./dom";
import { ImageView, type Overlay } from "./image-view";
import { markPoints } from "./labels";

export interface Place {
  readonly u: number;
  readonly v: number;
}

export class ImageStrip {
  readonly element = el("aside", { class: "images", "aria-label": "Camera images" });
  private views: ImageView[] = [];
  private key = "";
  private overlays = 0;

  constructor(
    private readonly session: Session,
    private readonly enlarge: (view: number) => void,
  ) {
    session.on("shown", () => void session.attempt(() => this.draw()));
    session.on("hover", () => showCross(session, this.views));
    new ResizeObserver(() => void session.attempt(() => this.draw())).observe(this.element);
  }

  private async draw(): Promise<void> {
    const { shown, manifest } = this.session;
    if (shown === null) return;
    const { images } = manifest.frames[shown.state.frame];
    this.element.hidden = images.length === 0;
    const key = JSON.stringify(images);
    if (key !== this.key) this.build(images);
    this.key = key;
    const run = ++this.overlays;
    const width = Math.round((this.element.clientWidth - 16) * Math.min(2, window.devicePixelRatio));
    if (width <= 0) return;
    for (const [v, view] of this.views.entries()) {
      const [bitmap, overlay] = await Promise.all([imageOrNone(this.session, shown.state.frame, v), overlayOf(this.session, shown, v)]);
      if (run !== this.overlays) return;
      view.show(bitmap, width);
      view.overlay(overlay);
    }
    showCross(this.session, this.views);
  }

  private build(images: readonly ImageInfo[]): void {
    this.views = images.map((info) => new ImageView(info, `Camera image ${info.view}`));
    const figures = this.views.map((view, v) => {
      view.element.addEventListener("click", (event) => clickPixel(this.session, v, view.at(event), event.shiftKey || event.ctrlKey));
      followPointer(this.session, view, v);
      const larger = button("⤢", `Enlarge ${images[v].view}`, () => this.enlarge(v), { class: "larger", "aria-label": `Enlarge image ${images[v].view}` });
      return el("figure", {}, view.element, el("figcaption", {}, el("span", {}, images[v].view), larger));
    });
    this.element.replaceChildren(...figures);
  }
}

/** A click on an image does what a click on the point there does; a seed takes the pixel itself where it has a feature. */
export function clickPixel(session: Session, view: number, { u, v }: Place, more: boolean): void {
  const { frame } = session.state;
  const seed = { kind: "pixel", frame, view, box: [u, v, u, v] } as const;
  if (session.tool === "seed") {
    void session.addSeed(seed, { more });
    return;
  }
  const point = pointAtPixel(session, view, { u, v });
  if (point === null) session.say("No point of the scan is seen there.");
  else markPoints(session, frame, [point], session.tool === "positive" ? session.labelling.active : 0);
}

export function pointAtPixel(session: Session, view: number, { u, v }: Place): number | null {
  const { shown, manifest } = session;
  if (shown === null) return null;
  const { frame } = shown.state;
  return pointsOfPixel(shown.scan, manifest.frames[frame].images[view], { kind: "pixel", frame, view, box: [u, v, u, v] })[0] ?? null;
}

/** The pointer over an image hovers the point that is seen there. */
export function followPointer(session: Session, view: ImageView, v: number): void {
  view.element.addEventListener("pointermove", (event) => {
    session.hover(pointAtPixel(session, v, view.at(event)));
    view.cross(view.at(event));
  });
  view.element.addEventListener("pointerleave", () => session.hover(null));
}

/** Crosshairs where the hovered point lies in each image. */
export function showCross(session: Session, views: readonly ImageView[]): void {
  const { hovered, shown } = session;
  views.forEach((view, v) => {
    const projection = shown?.scan.projections[v] ?? null;
    const u = hovered === null || projection === null ? OUTSIDE : projection.uv[2 * hovered];
    if (hovered === null || projection === null || u === OUTSIDE) view.cross(null);
    else view.cross({ u: u / 4 / view.size.width, v: projection.uv[2 * hovered + 1] / 4 / view.size.height });
  });
}

/** The image; null, and a message, where it cannot be read: its points are shown all the same. */
export async function imageOrNone(session: Session, frame: number, view: number): Promise<ImageBitmap | null> {
  try {
    return await session.store.image(frame, view);
  } catch (error) {
    session.say(`${session.manifest.frames[frame].images[view].view}: ${error instanceof Error ? error.message : String(error)}`);
    return null;
  }
}

export async function overlayOf(session: Session, shown: Shown, view: number): Promise<Overlay> {
  const { state, scan, panels } = shown;
  const { choice, picture } = panels[0];
  const base = { projection: scan.projections[view] ?? null, colors: picture.colors, dots: state.dots, hidden: state.hidden };
  if (state.mode !== "similarity" || choice === null) return { ...base, heat: null };
  const values = await session.heat.ofImage(choice, state.frame, view);
  const grid = (await session.store.features(choice.model, "teacher", state.frame))?.grids[view] ?? null;
  if (values === null || grid === null) return { ...base, heat: null };
  const { low, high } = await session.heat.spread(choice);
  return { ...base, heat: { values, grid, low, high, palette: HEAT[state.palette] } };
}
