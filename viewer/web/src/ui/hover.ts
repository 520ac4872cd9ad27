/** What is known of the point under the cursor, to read and to copy. */

import { decode, missingCode } from "../data/container";
import type { Session } from "../state/session";
import { button, el, short } from "./dom";

/** Name and value of everything that is known of a point. */
export async function factsOf(session: Session, point: number): Promise<[name: string, value: string][]> {
  const { shown, manifest } = session;
  if (shown === null) return [];
  const { scan, panels, state } = shown;
  const [x, y, z] = scan.xyz.subarray(3 * point, 3 * point + 3);
  const facts: [string, string][] = [
    ["index", String(scan.fileRow === null ? point : scan.fileRow[point])],
    ["x y z (m)", [x, y, z].map((c) => c.toFixed(2)).join(" ")],
    ["range (m)", Math.hypot(x, y, z).toFixed(2)],
  ];
  const { choice, picture } = panels[0];
  const predicted = choice === null || !needsPrediction(state.mode) ? null : await session.store.predicted(choice.model, state.frame);
  for (const [name, stored] of [...scan.columns, ...(predicted ?? [])]) {
    const code = stored.values[point];
    const kind = manifest.columns.get(name)?.kind ?? (name === "class" || name === "prediction" ? "class" : "number");
    if (code === missingCode(stored.values)) facts.push([name, "none"]);
    else if (kind === "class") facts.push([name, manifest.classes[code]?.name ?? String(code)]);
    else if (kind === "id") facts.push([name, String(code)]);
    else facts.push([name, short(decode({ ...stored, values: stored.values.subarray(point, point + 1) })[0])]);
  }
  if (picture.values !== null) facts.push([state.mode === "probability" ? "probability" : "cosine", picture.values[point].toFixed(3)]);
  return facts;
}

function needsPrediction(mode: string): boolean {
  return ["prediction", "error", "confidence", "cluster"].includes(mode);
}

/** The point that is read: the one under the cursor, or else the last seed of this frame. */
export function pointInHand(session: Session): number | null {
  if (session.hovered !== null) return session.hovered;
  const seed = session.state.seeds.findLast((s) => s.kind === "point" && s.frame === session.state.frame);
  return seed?.kind === "point" ? seed.point : null;
}

export async function copyPoint(session: Session): Promise<void> {
  const point = pointInHand(session);
  if (point === null) {
    session.say("Point at something first.");
    return;
  }
  const facts = await factsOf(session, point);
  await navigator.clipboard.writeText(facts.map(([name, value]) => `${name}: ${value}`).join("\n"));
  session.say(`Copied point ${facts[0][1]}.`);
}

export function hoverBox(session: Session): HTMLElement {
  const list = el("dl", {});
  const box = el("div", { class: "hover", id: "hover", hidden: true }, list, button("Copy", "Copy what is known of this point (key y)", () => void session.attempt(() => copyPoint(session))));
  const draw = (): void => void session.attempt(async () => {
    const point = pointInHand(session);
    const facts = point === null ? [] : await factsOf(session, point);
    if (point !== pointInHand(session)) return;
    box.hidden = facts.length === 0;
    list.replaceChildren(...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  });
  session.on("hover", draw);
  session.on("shown", draw);
  return box;
}
