/** Which model and space is looked at, and which one beside it. */

import type { Session } from "../state/session";
import type { Choice } from "../state/state";
import { el, section, select } from "./dom";

export function choiceText(session: Session, choice: Choice | null): string {
  if (choice === null) return "";
  const model = session.manifest.models[choice.model];
  return `${model.name}: ${model.spaces.find((s) => s.name === choice.space)?.title ?? choice.space}`;
}

function choices(session: Session): { value: string; choice: Choice }[] {
  return session.manifest.models.flatMap((model, m) => model.spaces.map((s) => ({ value: `${m}/${s.name}`, choice: { model: m, space: s.name } })));
}

export function modelsPart(session: Session): HTMLElement | null {
  const all = choices(session);
  if (all.length === 0) return null;
  const find = (value: string): Choice | null => all.find((c) => c.value === value)?.choice ?? null;
  const text = (choice: Choice | null): string => (choice === null ? "" : `${choice.model}/${choice.space}`);
  const first = select("Features", (value) => void session.change({ choice: find(value), threshold: null }));
  const second = select("Beside it", (value) => void session.change({ other: find(value) }));
  const options = all.map(({ value, choice }): [string, string] => [value, choiceText(session, choice)]);
  const draw = (): void => {
    first.fill(options, text(session.state.choice));
    second.fill([["", "nothing"], ...options], text(session.state.other));
  };
  session.on("state", draw);
  draw();
  return section("Model", true, first.field, second.field);
}

/** Names over the panels where two stand beside each other. */
export function panelNames(session: Session): HTMLElement {
  const names = el("div", { class: "panel-names" });
  session.on("shown", () => {
    const panels = session.shown?.panels ?? [];
    names.replaceChildren(...(panels.length < 2 ? [] : panels.map(({ choice, picture }) => el("span", {}, choiceText(session, choice) + (picture.count === null ? "" : `, ${picture.count} alike`)))));
  });
  return names;
}
