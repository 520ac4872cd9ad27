/** One image over the whole page: a click or a box is a seed, arrow keys move a crosshair for those without a mouse. */

import type { Session } from "../state/session";
import { button, el } from "./dom";
import { ImageView } from "./image-view";
import { clickPixel, followPointer, imageOrNone, overlayOf, pointAtPixel, showCross } from "./images";

const STEP = 0.01; // of the image's width
const STEPS: Readonly<Record<string, readonly [number, number]>> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Enlarged {
  readonly element: HTMLDialogElement;
  private readonly title = el("h2", {});
  private readonly place = el("div", {
    class: "large", tabindex: 0, role: "application",
    "aria-label": "The image. Arrow keys move a crosshair, Enter sets a seed there, Page Up and Page Down change the image.",
  });
  private readonly box = el("div", { class: "box", hidden: true });
  private view: ImageView | null = null;
  private number = 0;
  private cursor = { u: 0.5, v: 0.5 };

  constructor(private readonly session: Session) {
    this.element = el(
      "dialog", { class: "enlarged", "aria-labelledby": "enlarged-title" },
      el("div", { class: "row" }, this.title,
        button("◀", "Previous image (Page Up)", () => this.open(this.number - 1), { "aria-label": "Previous image" }),
        button("▶", "Next image (Page Down)", () => this.open(this.number + 1), { "aria-label": "Next image" }),
        button("Close", "Close (Escape)", () => this.element.close())),
      this.place,
      el("p", {}, "Click: a seed from this pixel. Drag: an example, all patches of the box. Arrow keys and Enter do the same. Shift adds to the seeds."),
    );
    this.title.id = "enlarged-title";
    this.element.addEventListener("keydown", (event) => this.key(event));
    session.on("shown", () => this.element.open && void session.attempt(() => this.draw()));
    session.on("hover", () => this.view !== null && this.element.open && session.hovered !== null && this.crossOf());
  }

  open(number: number): void {
    const { images } = this.session.manifest.frames[this.session.state.frame];
    if (images.length === 0) return;
    this.number = (number + images.length) % images.length;
    const info = images[this.number];
    this.title.textContent = info.view;
    this.view = new ImageView(info, `Camera image ${info.view}, large`);
    this.listen(this.view);
    this.place.style.setProperty("--shape", String(info.width / info.height));
    this.place.replaceChildren(this.view.element);
    this.view.element.append(this.box);
    if (!this.element.open) {
      this.element.showModal();
      this.place.focus();
    }
    void this.session.attempt(() => this.draw());
  }

  private async draw(): Promise<void> {
    const { shown } = this.session;
    const view = this.view;
    if (shown === null || view === null) return;
    if (this.number >= shown.scan.projections.length) {
      this.element.close();
      return;
    }
    const [bitmap, overlay] = await Promise.all([imageOrNone(this.session, shown.state.frame, this.number), overlayOf(this.session, shown, this.number)]);
    view.show(bitmap, Math.round(Math.max(320, this.place.clientWidth) * Math.min(2, window.devicePixelRatio)));
    view.overlay(overlay);
  }

  private crossOf(): void {
    const number = this.number;
    const views: ImageView[] = [];
    if (this.view !== null) views[number] = this.view;
    showCross(this.session, views);
  }

  private listen(view: ImageView): void {
    let start: { u: number; v: number } | null = null;
    followPointer(this.session, view, this.number);
    view.element.addEventListener("pointerdown", (event) => {
      start = view.at(event);
      view.element.setPointerCapture(event.pointerId);
    });
    view.element.addEventListener("pointermove", (event) => start !== null && this.drawBox(start, view.at(event)));
    view.element.addEventListener("pointerup", (event) => {
      const end = view.at(event);
      if (start !== null) this.take(start, end, event.shiftKey || event.ctrlKey);
      start = null;
      this.box.hidden = true;
    });
  }

  private take(from: { u: number; v: number }, to: { u: number; v: number }, more: boolean): void {
    const small = Math.abs(from.u - to.u) < 0.008 && Math.abs(from.v - to.v) < 0.008;
    if (small || this.session.tool !== "seed") {
      clickPixel(this.session, this.number, to, more);
      return;
    }
    const box = [Math.min(from.u, to.u), Math.min(from.v, to.v), Math.max(from.u, to.u), Math.max(from.v, to.v)] as const;
    void this.session.addSeed({ kind: "pixel", frame: this.session.state.frame, view: this.number, box }, { more });
  }

  private drawBox(from: { u: number; v: number }, to: { u: number; v: number }): void {
    this.box.hidden = false;
    Object.assign(this.box.style, {
      left: `${100 * Math.min(from.u, to.u)}%`, top: `${100 * Math.min(from.v, to.v)}%`,
      width: `${100 * Math.abs(from.u - to.u)}%`, height: `${100 * Math.abs(from.v - to.v)}%`,
    });
  }

  private key(event: KeyboardEvent): void {
    const step = STEPS[event.key];
    if (step !== undefined && this.view !== null) {
      const far = STEP * (event.shiftKey ? 5 : 1);
      const shape = this.view.size.width / this.view.size.height;
      const within = (x: number): number => Math.min(1, Math.max(0, x));
      this.cursor = { u: within(this.cursor.u + far * step[0]), v: within(this.cursor.v + far * shape * step[1]) };
      this.session.hover(pointAtPixel(this.session, this.number, this.cursor));
      this.view.cross(this.cursor);
    } else if (event.key === "PageUp" || event.key === "PageDown") this.open(this.number + (event.key === "PageUp" ? -1 : 1));
    else if (event.key === "Enter" && !(event.target instanceof HTMLButtonElement)) clickPixel(this.session, this.number, this.cursor, event.shiftKey);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
