/** Everything a key does, in one list: the keyboard and the help read it. */

import { HEAT } from "../math/palettes";
import { pointAt, pointBeside, type Way } from "../math/screen";
import type { Stage } from "../render/stage";
import type { Session } from "../state/session";
import { copyPoint } from "./hover";
import { markSeeds, setTool, undoMark } from "./labels";
import { MODE_KEYS, nextColumn } from "./modes";
import type { Timeline } from "./timeline";

export interface Key {
  /** As KeyboardEvent.key says it, after "Ctrl+" where that is held. */
  readonly keys: readonly string[];
  readonly what: string;
  readonly press: (event: KeyboardEvent) => void;
}

export interface Keyboard {
  readonly session: Session;
  readonly stage: Stage;
  readonly timeline: Timeline;
  readonly enlarge: (view: number) => void;
  readonly help: () => void;
}

const ARROWS: Readonly<Record<string, Way>> = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };

export function keysOf({ session, stage, timeline, enlarge, help }: Keyboard): Key[] {
  const modes = MODE_KEYS.map(({ mode, key, name }): Key => ({
    keys: [key],
    what: `Colours: ${name}`,
    press: () => (mode === "column" ? nextColumn(session) : void session.change({ mode })),
  }));
  const set = (key: string, what: string, press: () => void): Key => ({ keys: [key], what, press });
  const shift = (by: number): void => {
    const now = session.state.threshold ?? session.shown?.panels[0].picture.threshold ?? 0.5;
    void session.change({ threshold: Math.round(100 * Math.max(-1, Math.min(1, now + by))) / 100 });
  };
  return [
    ...modes,
    { keys: Object.keys(ARROWS), what: "Move the last seed to the next point that way (Shift: farther)", press: (event) => moveSeed(session, stage, event) },
    set("Enter", "Seed (or mark) at the middle of the scan's panel", () => actAtMiddle(session, stage)),
    set("Backspace", "Forget all seeds", () => void session.change({ seeds: [] })),
    set("[", "Lower the threshold", () => shift(-0.02)),
    set("]", "Raise the threshold", () => shift(0.02)),
    set("1", "Clicks set seeds", () => setTool(session, "seed")),
    set("2", "Clicks mark the class (with Shift: draw around points)", () => setTool(session, "positive")),
    set("3", "Clicks mark what is not of the class", () => setTool(session, "negative")),
    set("m", "Mark the seeds' points as the class", () => markSeeds(session, session.labelling.active)),
    set("n", "Mark the seeds' points as other", () => markSeeds(session, 0)),
    set("u", "Take back the last marks", () => undoMark(session)),
    set(",", "Previous frame", () => void timeline.step(-1)),
    set(".", "Next frame", () => void timeline.step(1)),
    set(" ", "Play, pause", () => timeline.play()),
    set("w", "Enlarge the first image", () => enlarge(0)),
    set("v", "Points on images", () => void session.change({ dots: !session.state.dots })),
    set("x", "Hidden points on images, hollow", () => void session.change({ hidden: !session.state.hidden })),
    set("y", "Copy what is known of the point", () => void session.attempt(() => copyPoint(session))),
    set("g", "Eye-dome lighting", () => void session.change({ shading: !session.state.shading })),
    set("j", "Heat map for all eyes, or blue to red", () => nextPalette(session)),
    set("q", "Dark or light page", () => void session.change({ theme: session.state.theme === "dark" ? "light" : "dark" })),
    { keys: ["+", "="], what: "Nearer", press: () => stage.zoom(0.85) },
    set("-", "Farther", () => stage.zoom(1 / 0.85)),
    set("Ctrl+ArrowLeft", "Turn the camera", () => stage.turn(-0.1)),
    set("Ctrl+ArrowRight", "Turn the camera", () => stage.turn(0.1)),
    set("Ctrl+ArrowUp", "Raise the camera", () => stage.turn(0, 0.1)),
    set("Ctrl+ArrowDown", "Lower the camera", () => stage.turn(0, -0.1)),
    set("Ctrl+Shift+ArrowUp", "Move ahead", () => stage.walk(2, 0)),
    set("Ctrl+Shift+ArrowDown", "Move back", () => stage.walk(-2, 0)),
    set("Ctrl+Shift+ArrowLeft", "Move left", () => stage.walk(0, 2)),
    set("Ctrl+Shift+ArrowRight", "Move right", () => stage.walk(0, -2)),
    set("0", "Camera as at the start", () => stage.look(null)),
    set("?", "This help", help),
  ];
}

function nextPalette(session: Session): void {
  const names = Object.keys(HEAT) as (keyof typeof HEAT)[];
  void session.change({ palette: names[(names.indexOf(session.state.palette) + 1) % names.length] });
}

function moveSeed(session: Session, stage: Stage, event: KeyboardEvent): void {
  const { seeds, frame } = session.state;
  const last = seeds.at(-1);
  if (last?.kind !== "point" || last.frame !== frame) {
    actAtMiddle(session, stage);
    return;
  }
  const point = pointBeside(stage.screen(), last.point, ARROWS[event.key], event.shiftKey ? 60 : 12);
  if (point !== last.point) void session.change({ seeds: [...seeds.slice(0, -1), { kind: "point", frame, point }] });
}

function actAtMiddle(session: Session, stage: Stage): void {
  const { width, height } = stage.lens();
  const point = pointAt(stage.screen(), { x: width / 2, y: height / 2 }, Math.max(width, height) / 3);
  if (point < 0) session.say("No point of the scan is in view: key 0 brings it back.");
  else if (session.tool === "seed") void session.addSeed({ kind: "point", frame: session.state.frame, point });
  else {
    session.labelling.mark(session.state.frame, [point], session.tool === "positive" ? session.labelling.active : 0);
    void session.change({ mode: "probability" });
  }
}

/** Listens on the whole page; fields that take keys themselves keep them. */
export function listenToKeys(keys: readonly Key[], isOn: () => boolean): void {
  const table = new Map(keys.flatMap((key) => key.keys.map((name) => [name, key] as const)));
  document.addEventListener("keydown", (event) => {
    const { target } = event;
    if (event.altKey || event.metaKey || event.defaultPrevented || document.querySelector("dialog[open]") !== null) return;
    if (target instanceof HTMLSelectElement || target instanceof HTMLInputElement) return;
    const onControl = target instanceof HTMLButtonElement || (target instanceof HTMLElement && target.tagName === "SUMMARY");
    if (onControl && (event.key === "Enter" || event.key === " ")) return;
    if (!isOn() && event.key.length === 1 && !event.ctrlKey) return;
    const arrow = event.key in ARROWS;
    const name = `${event.ctrlKey ? "Ctrl+" : ""}${event.shiftKey && arrow && event.ctrlKey ? "Shift+" : ""}${event.key}`;
    const key = table.get(name);
    if (key === undefined) return;
    event.preventDefault();
    key.press(event);
  });
}
