/** How things are drawn, and what leaves the page: links, pictures, a short video. */

import { PALETTES } from "../math/palettes";
import type { Stage } from "../render/stage";
import type { Session } from "../state/session";
import { button, checkbox, el, section, select, slider } from "./dom";
import { copyLink, saveScreenshot, saveTurntable } from "./record";

export function displayPart(session: Session, stage: Stage): HTMLElement {
  const size = slider("Point size", { min: 0.5, max: 8, step: 0.25 }, (pointSize) => void session.change({ pointSize }));
  const shading = checkbox("Eye-dome lighting (g)", (on) => void session.change({ shading: on }));
  const dots = checkbox("Points on images (v)", (on) => void session.change({ dots: on }));
  const hidden = checkbox("Hidden points too, hollow (x)", (on) => void session.change({ hidden: on }));
  const light = checkbox("Light page (q)", (on) => void session.change({ theme: on ? "light" : "dark" }));
  const palette = select("Heat map (j)", (name) => void session.change({ palette: PALETTES.find((p) => p === name) ?? "blue-red" }));
  const draw = (): void => {
    const { state } = session;
    size.show(state.pointSize);
    shading.show(state.shading);
    dots.show(state.dots);
    hidden.show(state.hidden);
    light.show(state.theme === "light");
    palette.fill([["blue-red", "blue to red"], ["cividis", "blue to yellow (all eyes)"]], state.palette);
  };
  session.on("state", draw);
  draw();
  const link = button("Copy link", "An address that opens this very view", () => void session.attempt(() => copyLink(session)));
  const shot = button("Screenshot", "Save the scan as a PNG", () => void session.attempt(() => saveScreenshot(session, stage)));
  const video = button("Turntable", "Save one turn around the scan as a video of 6 s", () => void session.attempt(() => saveTurntable(session, stage)));
  return section("Display", false, size.field, palette.field, shading.field, dots.field, hidden.field, light.field, el("div", { class: "row" }, link, shot, video));
}
