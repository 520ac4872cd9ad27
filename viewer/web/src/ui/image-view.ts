/** One camera image: the picture, over it the projected points or the heat of its patches, over that a crosshair. */

import type { Grid } from "../data/scan";
import { OUTSIDE, type Projection } from "../data/scan";
import { colorAt } from "../math/palettes";
import { el } from "./dom";

export interface Overlay {
  readonly projection: Projection | null;
  /** (N, 4) colours of the points. */
  readonly colors: Uint8Array;
  readonly dots: boolean;
  readonly hidden: boolean;
  /** Cosine of each patch, drawn in place of the points. */
  readonly heat: { readonly values: Float32Array; readonly grid: Pick<Grid, "width" | "height">; readonly low: number; readonly high: number; readonly palette: Uint8Array } | null;
}

export class ImageView {
  readonly element: HTMLDivElement;
  private readonly base = el("canvas", {});
  private readonly over = el("canvas", { class: "over" });
  private readonly across = el("div", { class: "cross across" });
  private readonly down = el("div", { class: "cross down" });
  private drawn: ImageBitmap | null = null;

  constructor(
    readonly size: { readonly width: number; readonly height: number },
    label: string,
  ) {
    this.base.setAttribute("role", "img");
    this.base.setAttribute("aria-label", label);
    this.element = el("div", { class: "image" }, this.base, this.over, this.across, this.down);
    this.element.style.aspectRatio = `${size.width} / ${size.height}`;
    this.cross(null);
  }

  /** Draws the image at `width` device pixels. */
  show(bitmap: ImageBitmap | null, width: number): void {
    const height = Math.round((width * this.size.height) / this.size.width);
    if (this.base.width === width && this.drawn === bitmap && bitmap !== null) return;
    for (const canvas of [this.base, this.over]) [canvas.width, canvas.height] = [width, height];
    this.drawn = bitmap;
    if (bitmap !== null) this.base.getContext("2d")?.drawImage(bitmap, 0, 0, width, height);
  }

  overlay(overlay: Overlay): void {
    const context = this.over.getContext("2d");
    const { width, height } = this.over;
    if (context === null || width === 0 || height === 0) return;
    context.clearRect(0, 0, width, height);
    if (overlay.heat !== null) drawHeat(context, overlay.heat);
    else if (overlay.dots && overlay.projection !== null) context.putImageData(this.dots(overlay, overlay.projection), 0, 0);
  }

  /** A crosshair at a pixel of the image, given as parts of its size; null hides it. */
  cross(at: { u: number; v: number } | null): void {
    this.across.hidden = this.down.hidden = at === null;
    if (at === null) return;
    this.across.style.top = `${100 * at.v}%`;
    this.down.style.left = `${100 * at.u}%`;
  }

  /** Where in the image a pointer is, as parts of its size. */
  at(event: PointerEvent | MouseEvent): { u: number; v: number } {
    const box = this.element.getBoundingClientRect();
    const part = (x: number): number => Math.min(1, Math.max(0, x));
    return { u: part((event.clientX - box.left) / box.width), v: part((event.clientY - box.top) / box.height) };
  }

  private dots({ colors, hidden }: Overlay, { uv, visible }: Projection): ImageData {
    const { width, height } = this.over;
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const scale = width / this.size.width / 4;
    const half = width > 700 ? 1 : 0;
    const words = new Uint32Array(colors.buffer, colors.byteOffset, colors.length / 4);
    const put = (i: number, reach: number, hollow: boolean): void => {
      const x = Math.floor(uv[2 * i] * scale);
      const y = Math.floor(uv[2 * i + 1] * scale);
      const ink = (words[i] & 0x00ffffff) | (hollow ? 0x90000000 : 0xff000000);
      for (let dy = -reach; dy <= reach; dy++) {
        for (let dx = -reach; dx <= reach; dx++) {
          const inside = x + dx >= 0 && x + dx < width && y + dy >= 0 && y + dy < height;
          if (inside && !(hollow && Math.abs(dx) < reach && Math.abs(dy) < reach)) pixels[(y + dy) * width + x + dx] = ink;
        }
      }
    };
    for (const emphasis of [0, 255]) {
      for (let i = 0; i < visible.length; i++) {
        if (uv[2 * i] === OUTSIDE || colors[4 * i + 3] !== emphasis) continue;
        if (visible[i] === 1) put(i, half + (emphasis > 0 ? 1 : 0), false);
        else if (hidden) put(i, half + 1, true);
      }
    }
    return image;
  }
}

function drawHeat(context: CanvasRenderingContext2D, { values, grid, low, high, palette }: NonNullable<Overlay["heat"]>): void {
  const small = new ImageData(grid.width, grid.height);
  values.forEach((value, i) => {
    if (Number.isNaN(value)) return;
    const part = Math.max(0, Math.min(1, (value - low) / Math.max(high - low, 1e-6)));
    const at = colorAt(part);
    small.data.set([palette[at], palette[at + 1], palette[at + 2], 70 + 130 * part], 4 * i);
  });
  const patch = new OffscreenCanvas(grid.width, grid.height);
  patch.getContext("2d")?.putImageData(small, 0, 0);
  context.imageSmoothingQuality = "high";
  context.drawImage(patch, 0, 0, context.canvas.width, context.canvas.height);
}
