/** Names and keys of the colour modes, and the buttons that choose them. */

import { HEAT, gradient } from "../math/palettes";
import type { Legend } from "../state/picture";
import type { Session } from "../state/session";
import type { Mode } from "../state/state";
import { button, el, section, select, short, slider } from "./dom";

export const MODE_KEYS: readonly { readonly mode: Mode; readonly key: string; readonly name: string }[] = [
  { mode: "similarity", key: "s", name: "Similarity" },
  { mode: "pca", key: "p", name: "PCA" },
  { mode: "pca-without-position", key: "P", name: "PCA without position" },
  { mode: "intensity", key: "i", name: "Intensity" },
  { mode: "height", key: "h", name: "Height" },
  { mode: "range", key: "r", name: "Range" },
  { mode: "class", key: "c", name: "Class" },
  { mode: "prediction", key: "d", name: "Prediction" },
  { mode: "error", key: "e", name: "Prediction error" },
  { mode: "confidence", key: "f", name: "Confidence" },
  { mode: "cluster", key: "k", name: "Cluster" },
  { mode: "probability", key: "b", name: "Probability (labelling)" },
  { mode: "column", key: "o", name: "Another column" },
];

/** Whether these data can have something to show in a mode. */
function isPossible(session: Session, mode: Mode): boolean {
  const { columns, models } = session.manifest;
  switch (mode) {
    case "similarity":
    case "pca":
    case "pca-without-position":
    case "probability":
      return models.length > 0;
    case "height":
    case "range":
      return true;
    case "error":
      return columns.has("error") || (columns.has("class") && columns.has("prediction"));
    case "column":
      return otherColumns(session).length > 0;
    default:
      return columns.has(mode);
  }
}

/** Columns that have no mode of their own. */
export function otherColumns(session: Session): string[] {
  const own = new Set<string>(MODE_KEYS.map(({ mode }) => mode));
  return [...session.manifest.columns.keys()].filter((name) => !own.has(name));
}

export function nextColumn(session: Session): void {
  const columns = otherColumns(session);
  if (columns.length === 0) {
    session.say("These data have no other columns.");
    return;
  }
  const { mode, column } = session.state;
  const at = columns.indexOf(column ?? "");
  void session.change({ mode: "column", column: mode === "column" || at < 0 ? columns[(at + 1) % columns.length] : column });
}

export function modesPart(session: Session): HTMLElement {
  const choose = (mode: Mode): void => (mode === "column" ? nextColumn(session) : void session.change({ mode }));
  const buttons = MODE_KEYS.map(({ mode, key, name }) => ({
    mode,
    element: button(name, `${name} (key ${key})`, () => choose(mode), { "aria-keyshortcuts": key, class: isPossible(session, mode) ? null : "absent" }),
  }));
  for (const [i, { element }] of buttons.entries()) element.append(el("kbd", { "aria-hidden": "true" }, MODE_KEYS[i].key));
  const columns = select("Column", (column) => void session.change({ mode: "column", column }));
  const gamma = slider("Gamma of intensity", { min: 0.2, max: 2, step: 0.05 }, (value) => void session.change({ gamma: value }));
  const legend = el("div", { class: "legend", "aria-live": "polite" });
  const draw = (): void => {
    const { mode, column, gamma: value } = session.state;
    for (const { mode: own, element } of buttons) element.setAttribute("aria-pressed", String(own === mode));
    columns.fill(otherColumns(session).map((name) => [name, name]), column ?? "");
    columns.field.hidden = mode !== "column";
    gamma.field.hidden = mode !== "intensity";
    gamma.show(value);
  };
  session.on("state", draw);
  session.on("shown", () => legend.replaceChildren(...legendOf(session.shown?.panels[0].picture.legend)));
  draw();
  return section("Colours", true, el("div", { class: "modes", role: "group", "aria-label": "Colour mode" }, ...buttons.map((b) => b.element)), columns.field, gamma.field, legend);
}

function legendOf(legend: Legend | undefined): Node[] {
  if (legend === undefined) return [];
  if (legend.kind === "text") return [el("p", {}, legend.text)];
  if (legend.kind === "scale") {
    const bar = el("div", { class: "scale" });
    bar.style.background = gradient(legend.palette);
    const heat = Object.values(HEAT).includes(legend.palette);
    return [bar, el("div", { class: "ends" }, el("span", {}, short(legend.low)), el("span", {}, `${legend.unit}${heat ? " (like the seeds: right)" : ""}`), el("span", {}, short(legend.high)))];
  }
  const rows = legend.items.map(({ name, color, count }) => {
    const patch = el("span", { class: "patch" });
    patch.style.background = `rgb(${color.join(" ")})`;
    return el("li", {}, patch, el("span", { class: "name" }, name), el("span", { class: "count" }, String(count)));
  });
  return [el("ul", { class: "names" }, ...rows)];
}
