/** What leaves the page: its address, a screenshot, a short video of one turn. */

import type { Stage } from "../render/stage";
import { toHash } from "../state/permalink";
import type { Session } from "../state/session";
import { download, fileName } from "./files";

const SECONDS = 6;
const RATE = 30;

export async function copyLink(session: Session): Promise<void> {
  if (location.protocol === "about:") throw new Error("This page stands inside another one and has no address: save it as a file first.");
  const address = `${location.href.split("#")[0]}${toHash(session.state)}`;
  await navigator.clipboard.writeText(address);
  session.say("The link is copied.");
}

/** The scan as it is seen, as PNG. */
export function screenshot(stage: Stage): Promise<Blob> {
  stage.draw(); // in the same task as the reading: the browser keeps no drawn buffer
  return new Promise((resolve, reject) => {
    stage.renderer.domElement.toBlob((blob) => (blob === null ? reject(new Error("the browser gives no picture of its 3D part")) : resolve(blob)), "image/png");
  });
}

export async function saveScreenshot(session: Session, stage: Stage): Promise<void> {
  download(`${stem(session)}.png`, await screenshot(stage));
}

export async function saveTurntable(session: Session, stage: Stage): Promise<void> {
  session.say(`Recording ${SECONDS} s`);
  download(`${stem(session)}.webm`, await turntable(stage, SECONDS));
  session.say("");
}

/** One turn around the target as WebM; the camera ends where it began. */
export async function turntable(stage: Stage, seconds: number): Promise<Blob> {
  const type = ["video/webm;codecs=vp9", "video/webm"].find((t) => MediaRecorder.isTypeSupported(t));
  if (type === undefined) throw new Error("this browser records no WebM video");
  const before = stage.view;
  const recorder = new MediaRecorder(stage.renderer.domElement.captureStream(RATE), { mimeType: type, videoBitsPerSecond: 8e6 });
  const chunks: Blob[] = [];
  recorder.ondataavailable = ({ data }) => chunks.push(data);
  const stopped = new Promise<void>((resolve) => (recorder.onstop = () => resolve()));
  recorder.start();
  const started = performance.now();
  let turned = 0;
  while (turned < 1) {
    const now = await new Promise<number>((resolve) => requestAnimationFrame(resolve));
    const part = Math.min(1, Math.max(0, now - started) / (1000 * seconds));
    stage.turn(2 * Math.PI * (part - turned));
    stage.draw();
    turned = part;
  }
  recorder.stop();
  await stopped;
  stage.look(before);
  return new Blob(chunks, { type: "video/webm" });
}

function stem(session: Session): string {
  return `${fileName(session.manifest.frames[session.state.frame].id)}-${session.state.mode}`;
}
