/** The frames of the drives, one after the other, with how much of each is like the seeds. */

import type { Session } from "../state/session";
import { button, el } from "./dom";

const PAUSE = 400; // milliseconds between frames, and as long as loading takes

export class Timeline {
  readonly element: HTMLElement;
  private readonly slider: HTMLInputElement;
  private readonly bars = el("div", { class: "bars", "aria-hidden": "true" });
  private readonly said = el("output", {});
  private readonly playing: HTMLButtonElement;
  private timer: number | null = null;

  constructor(private readonly session: Session) {
    const { frames } = session.manifest;
    this.slider = el("input", { type: "range", min: 0, max: frames.length - 1, step: 1, "aria-label": "Frame", oninput: () => void this.go(Number(this.slider.value)) });
    this.playing = button("▶", "Play or pause (Space)", () => this.play(), { "aria-label": "Play", "aria-pressed": "false" });
    this.element = el(
      "footer", { class: "timeline" },
      button("◀", "Previous frame (key ,)", () => void this.step(-1), { "aria-label": "Previous frame" }), this.playing,
      button("▶▏", "Next frame (key .)", () => void this.step(1), { "aria-label": "Next frame" }),
      el("div", { class: "track" }, this.bars, this.slider), this.said,
    );
    this.element.hidden = frames.length < 2;
    this.bars.replaceChildren(...frames.map(() => el("span", {})));
    session.on("state", () => this.draw());
    session.on("shown", () => void session.attempt(() => this.count()));
    this.draw();
  }

  step(by: number): Promise<void> {
    const { length } = this.session.manifest.frames;
    return this.go((this.session.state.frame + by + length) % length);
  }

  go(frame: number): Promise<void> {
    this.session.hover(null);
    return this.session.change({ frame });
  }

  play(): void {
    const stop = this.timer !== null;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.playing.setAttribute("aria-pressed", String(!stop));
    if (!stop) this.tick();
  }

  private tick(): void {
    this.timer = window.setTimeout(async () => {
      await this.step(1);
      if (this.timer !== null) this.tick();
    }, PAUSE);
  }

  private draw(): void {
    const { frame } = this.session.state;
    const { id, drive, timestamp } = this.session.manifest.frames[frame];
    this.slider.value = String(frame);
    this.slider.setAttribute("aria-valuetext", id);
    const time = timestamp === null ? "" : `, ${timestamp.toFixed(2)} s`;
    this.said.textContent = `${frame + 1} / ${this.session.manifest.frames.length}  ${drive === "" || id.includes(drive) ? "" : `${drive}, `}${id}${time}`;
    [...this.bars.children].forEach((bar, i) => bar.classList.toggle("here", i === frame));
  }

  /** Bars as high as the counts of points that are alike. */
  private async count(): Promise<void> {
    const shown = this.session.shown;
    const counts = await this.session.counts();
    if (shown !== this.session.shown) return;
    const most = Math.max(1, ...counts.map((n) => n ?? 0));
    [...this.bars.children].forEach((bar, i) => {
      const count = counts[i];
      (bar as HTMLElement).style.setProperty("--part", String(count === null ? 0 : count / most));
      bar.setAttribute("title", count === null ? "" : `${count} points`);
    });
  }
}
