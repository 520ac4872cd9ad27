/** Elements of the page. Everything that comes from data is text: no string is ever read as HTML. */

type Child = Node | string | null;

interface Attributes {
  readonly [name: string]: string | number | boolean | null | ((event: Event) => void);
}

/** An element with attributes (functions are listeners: `onclick`) and children (strings become text). */
export function el<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Attributes = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== false) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

export function button(text: string, what: string, press: () => void, attributes: Attributes = {}): HTMLButtonElement {
  return el("button", { type: "button", title: what, onclick: press, ...attributes }, text);
}

/** A choice of one among names; empty text stands for none. */
export function select(label: string, change: (value: string) => void): { field: HTMLLabelElement; fill(options: readonly [value: string, text: string][], chosen: string): void } {
  const list = el("select", { onchange: () => change(list.value) });
  let options = "";
  return {
    field: el("label", { class: "field" }, el("span", {}, label), list),
    fill(entries, chosen) {
      const key = JSON.stringify(entries);
      if (key !== options) list.replaceChildren(...entries.map(([value, text]) => el("option", { value }, text)));
      options = key;
      list.value = chosen;
    },
  };
}

export function slider(label: string, range: { min: number; max: number; step: number }, change: (value: number) => void): { field: HTMLLabelElement; show(value: number, text?: string): void } {
  const input = el("input", { type: "range", ...range, oninput: () => change(Number(input.value)) });
  const said = el("output", {});
  return {
    field: el("label", { class: "field" }, el("span", {}, label), input, said),
    show(value, text = String(value)) {
      input.value = String(value);
      said.textContent = text;
    },
  };
}

export function checkbox(label: string, change: (on: boolean) => void): { field: HTMLLabelElement; show(on: boolean): void } {
  const input = el("input", { type: "checkbox", onchange: () => change(input.checked) });
  return { field: el("label", { class: "check" }, input, label), show: (on) => (input.checked = on) };
}

/** A part of the side bar that can be folded. */
export function section(title: string, open: boolean, ...children: Node[]): HTMLDetailsElement {
  return el("details", { class: "part", open }, el("summary", {}, title), ...children);
}

/** A number with as many digits as a reader needs. */
export function short(x: number): string {
  if (!Number.isFinite(x)) return "none";
  return Math.abs(x) >= 1000 ? x.toFixed(0) : String(Number(x.toPrecision(3)));
}
