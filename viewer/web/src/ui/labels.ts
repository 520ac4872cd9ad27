/** Few-shot labelling: tools that mark points, the classes, and what is saved. */

import type { Session } from "../state/session";
import { OTHER } from "../state/labelling";
import { button, checkbox, el, section, select } from "./dom";
import { saveHead, saveLabels } from "./save";

export function labelsPart(session: Session): HTMLElement | null {
  if (session.state.choice === null) return null;
  const { labelling } = session;
  const tools = (["seed", "positive", "negative"] as const).map((tool, i) => ({
    tool,
    element: button(["Seed", "+ Class", "− Other"][i], `Clicks ${["set a seed", "mark the class", "mark what is not of it"][i]} (key ${i + 1})`, () => setTool(session, tool)),
  }));
  const classes = select("Class", (value) => {
    labelling.active = Number(value);
    void session.refresh();
  });
  const name = el("input", { type: "text", maxlength: 60, "aria-label": "Name of the class", onchange: () => rename(session, name.value) });
  const add = button("New class", "Another class to mark", () => {
    labelling.addClass(`object ${labelling.classes.length}`);
    void session.refresh();
  });
  const seedsAs = button("Mark seeds", "Mark the seeds' points as the class (key m; n: as other)", () => markSeeds(session, labelling.active));
  const aboveAs = button("Mark all above the threshold", "Mark every point of this scan that is alike", () => markAbove(session));
  const undo = button("Undo", "Take back the last marks (key u)", () => undoMark(session));
  const clear = button("Clear marks", "Forget all marks", () => {
    labelling.clear();
    void session.refresh();
  });
  let predicted = false;
  const whole = checkbox("also what the head predicts, on all loaded frames", (on) => (predicted = on));
  const labels = button("Save labels", "Save the marked points", () => void session.attempt(() => saveLabels(session, predicted)));
  const head = button("Save head", "Save the head for lidistill predict --head", () => void session.attempt(() => saveHead(session)));
  const said = el("p", { class: "taught", "aria-live": "polite" });
  const draw = (): void => {
    for (const { tool, element } of tools) element.setAttribute("aria-pressed", String(tool === session.tool));
    classes.fill(labelling.classes.slice(1).map((c, i) => [String(i + 1), c]), String(labelling.active));
    if (document.activeElement !== name) name.value = labelling.classes[labelling.active];
  };
  session.on("state", draw);
  session.on("shown", () => {
    draw();
    void session.attempt(() => sayTaught(session, said));
  });
  draw();
  return section(
    "Label by a few clicks", false,
    el("div", { class: "row", role: "group", "aria-label": "What a click does" }, ...tools.map((t) => t.element)),
    classes.field, el("div", { class: "row" }, name, add), el("div", { class: "row" }, seedsAs, aboveAs, undo, clear), said,
    whole.field, el("div", { class: "row" }, labels, head),
  );
}

export function setTool(session: Session, tool: Session["tool"]): void {
  session.tool = tool;
  void session.change({});
}

function rename(session: Session, name: string): void {
  const { labelling } = session;
  const wanted = name.trim();
  if (wanted === "" || labelling.classes.some((c, i) => c === wanted && i !== labelling.active)) {
    session.say(wanted === "" ? "A class needs a name." : `There is a class ${wanted} already.`);
  } else labelling.rename(labelling.active, wanted);
  void session.refresh();
}

/** Marks points of the frame; the probability map follows at once. */
export function markPoints(session: Session, frame: number, points: Iterable<number>, as: number): void {
  session.labelling.mark(frame, points, as);
  void session.change({ mode: "probability" });
}

export function markSeeds(session: Session, as: number): void {
  const seeds = session.state.seeds.filter((seed) => seed.kind === "point");
  if (seeds.length === 0) session.say("There is no seed on a point to mark.");
  for (const seed of seeds) markPoints(session, seed.frame, [seed.point], as);
}

function markAbove(session: Session): void {
  const picture = session.shown?.panels[0].picture;
  const values = picture?.values ?? null;
  if (picture === undefined || values === null || picture.threshold === null) {
    session.say("Nothing is being compared: choose a seed first (key s).");
    return;
  }
  const limit = picture.threshold;
  const points: number[] = [];
  values.forEach((value, i) => value >= limit && points.push(i));
  markPoints(session, session.state.frame, points, session.labelling.active);
}

export function undoMark(session: Session): void {
  if (!session.labelling.undo()) session.say("There is nothing to take back.");
  void session.refresh();
}

async function sayTaught(session: Session, said: HTMLElement): Promise<void> {
  const { labelling } = session;
  const counts = labelling.counts();
  const marked = counts.map((n, i) => `${n} ${labelling.classes[i]}`).join(", ");
  const choice = session.state.choice;
  const taught = choice === null || counts.every((n) => n === 0) ? null : await labelling.head(choice);
  if (taught === null) {
    said.textContent = counts[0] > 0 ? `Marked: ${marked}. A class needs marks before a head is fitted.` : "";
    return;
  }
  const others = taught.standIns > 0 ? ` No point is marked as ${OTHER}: ${taught.standIns} points spread over the marked scans stand in.` : "";
  said.textContent = `Marked: ${marked}. Fitted in ${taught.milliseconds.toFixed(0)} ms.${others}`;
}
