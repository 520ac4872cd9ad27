/** The mouse, pen or finger on the scan: hover, click, lasso. */

import { pointAt, pointsInside, type Pixel } from "../math/screen";
import type { Stage } from "../render/stage";
import type { Session } from "../state/session";
import { markPoints } from "./labels";

const REACH = 10; // pixels
const STILL = 4; // a press that moves less is a click
const SVG = "http://www.w3.org/2000/svg";

export function listenToPointer(canvas: HTMLCanvasElement, session: Session, stage: Stage): SVGSVGElement {
  const drawing = document.createElementNS(SVG, "svg");
  const line = document.createElementNS(SVG, "polygon");
  drawing.classList.add("lasso");
  drawing.append(line);
  let pressed: Pixel | null = null;
  let lasso: Pixel[] | null = null;
  let screen: Float32Array | null = null; // of the view that the pointer hovers over
  const forget = (): void => {
    screen = null;
  };
  session.on("shown", forget);
  stage.controls.addEventListener("change", forget);
  new ResizeObserver(forget).observe(canvas);
  const pick = (at: Pixel): number => pointAt((screen ??= stage.screen()), stage.inPanel(at), REACH);
  const hover = oncePerFrame((at: Pixel) => {
    const point = pick(at);
    session.hover(point < 0 ? null : point);
  });
  canvas.addEventListener("pointerdown", (event) => {
    canvas.focus({ preventScroll: true });
    if (event.button !== 0) return;
    pressed = where(event, canvas);
    if (event.shiftKey && session.tool !== "seed") {
      lasso = [pressed];
      stage.controls.enabled = false;
      canvas.setPointerCapture(event.pointerId);
    }
  }, { capture: true });
  canvas.addEventListener("pointermove", (event) => {
    const at = where(event, canvas);
    if (lasso !== null) {
      lasso.push(at);
      line.setAttribute("points", lasso.map(({ x, y }) => `${x},${y}`).join(" "));
    } else if (event.buttons === 0) hover(at);
  });
  canvas.addEventListener("pointerleave", () => session.hover(null));
  canvas.addEventListener("pointerup", (event) => {
    const at = where(event, canvas);
    const drawn = lasso;
    const start = pressed;
    lasso = pressed = null;
    stage.controls.enabled = true;
    line.removeAttribute("points");
    if (start === null) return;
    if (drawn !== null && drawn.length > 2) {
      const inside = pointsInside(stage.screen(), drawn.map((p) => stage.inPanel(p)));
      markPoints(session, session.state.frame, inside, session.tool === "positive" ? session.labelling.active : 0);
    } else if (Math.hypot(at.x - start.x, at.y - start.y) < STILL) act(session, pick(at), event.shiftKey || event.ctrlKey);
  });
  return drawing;
}

function act(session: Session, point: number, more: boolean): void {
  if (point < 0) return;
  const { frame } = session.state;
  if (session.tool === "seed") void session.addSeed({ kind: "point", frame, point }, { more });
  else markPoints(session, frame, [point], session.tool === "positive" ? session.labelling.active : 0);
}

function where(event: PointerEvent, canvas: HTMLCanvasElement): Pixel {
  const box = canvas.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}

/** Of many calls within one frame of the screen, the last. */
function oncePerFrame<T>(act: (value: T) => void): (value: T) => void {
  let last: { value: T } | null = null;
  return (value) => {
    if (last === null) {
      requestAnimationFrame(() => {
        if (last !== null) act(last.value);
        last = null;
      });
    }
    last = { value };
  };
}
