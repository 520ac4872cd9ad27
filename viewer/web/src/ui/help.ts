/** All keys and gestures, on `?`. */

import { button, checkbox, el } from "./dom";
import type { Key } from "./keys";

const GESTURES: readonly (readonly [string, string])[] = [
  ["Click a point or a pixel", "What else is like it? Shift or Ctrl adds a seed"],
  ["Drag", "Turn the camera"],
  ["Right drag", "Move it"],
  ["Wheel", "Nearer, farther"],
  ["Shift and drag, marking", "Draw around points to mark them"],
];

export class Help {
  readonly element: HTMLDialogElement;
  /** Whether keys of one character do something: assistive software may need them for itself. */
  singleKeys = true;

  constructor(keys: () => readonly Key[]) {
    const body = el("tbody", {});
    const single = checkbox("Keys of one character work", (on) => (this.singleKeys = on));
    single.show(true);
    this.element = el(
      "dialog", { class: "help", "aria-labelledby": "help-title" },
      el("div", { class: "row" }, el("h2", { id: "help-title" }, "Keys"), single.field, button("Close", "Close (Escape)", () => this.element.close())),
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "List of keys" }, el("table", {}, body)),
    );
    this.fill = () => {
      const rows = [...GESTURES, ...keys().map((key): readonly [string, string] => [key.keys.map(keyText).join(" "), key.what])];
      body.replaceChildren(...rows.map(([press, what]) => el("tr", {}, el("th", { scope: "row" }, press), el("td", {}, what))));
    };
  }

  open(): void {
    this.fill();
    if (!this.element.open) this.element.showModal();
  }

  private readonly fill: () => void;
}

const SIGNS: Readonly<Record<string, string>> = { " ": "Space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };

function keyText(key: string): string {
  return key.split(/(?<=.)\+(?=.)/).map((part) => SIGNS[part] ?? part).join("+");
}
