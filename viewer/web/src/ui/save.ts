/** Labels and heads, handed to the server, or downloaded from an exported page. */

import { isRecord } from "../data/container";
import { DIMS, type Manifest } from "../data/manifest";
import type { Head } from "../math/logistic";
import type { Session } from "../state/session";
import { downloadJson, download, fileName, npy, zip } from "./files";

const UNSET = 255;

/** The class of each point of a frame: as marked, else as predicted where that is wanted. */
async function labelsOf(session: Session, frame: number, predicted: boolean): Promise<Uint8Array | null> {
  const { labelling, store, state } = session;
  const marks = labelling.marks.get(frame);
  const here = state.choice !== null && store.loadedFeatures(state.choice.model, state.choice.space, frame) !== null;
  if ((marks === undefined || marks.size === 0) && !(predicted && here)) return null;
  const { count } = await store.scan(frame);
  const labels = new Uint8Array(count).fill(UNSET);
  if (predicted && here && state.choice !== null) labels.set(await labelling.predict(state.choice, frame));
  for (const [point, of] of marks ?? []) labels[point] = of;
  return labels;
}

export async function saveLabels(session: Session, predicted: boolean): Promise<void> {
  const { manifest } = session;
  const all: { frame: number; labels: Uint8Array }[] = [];
  for (let frame = 0; frame < manifest.frames.length; frame++) {
    const labels = await labelsOf(session, frame, predicted);
    if (labels !== null) all.push({ frame, labels });
  }
  if (all.length === 0) {
    session.say("No point is marked: there is nothing to save.");
    return;
  }
  if (manifest.canSaveLabels) await postLabels(session, all);
  else await downloadLabels(session, all);
}

async function postLabels(session: Session, all: readonly { frame: number; labels: Uint8Array }[]): Promise<void> {
  let path = "";
  for (const { frame, labels } of all) {
    for (const [id, name] of session.labelling.classes.entries()) {
      const points = Array.from(labels.keys()).filter((i) => labels[i] === id);
      if (points.length === 0) continue;
      path = pathOf(await session.source.post("labels", { frame: session.manifest.frames[frame].index, class: name, points }));
    }
  }
  session.say(`Saved: ${path}`);
}

async function downloadLabels(session: Session, all: readonly { frame: number; labels: Uint8Array }[]): Promise<void> {
  const names = new Set<string>();
  const files = await Promise.all(
    all.map(async ({ frame, labels }) => {
      const { fileRow } = await session.store.scan(frame);
      const info = session.manifest.frames[frame];
      return { name: `labels/${distinct(fileName(info.id), names)}`, bytes: npy(fileRow === null ? labels : toFileRows(labels, fileRow, info)) };
    }),
  );
  download("lidistill-labels.zip", zip([...files, { name: "labels/labels.yaml", bytes: classTable(session.labelling.classes) }]));
  session.say(`Labels of ${files.length} frames are in lidistill-labels.zip.`);
}

/** What the ids mean, in YAML. */
function classTable(classes: readonly string[]): Uint8Array {
  const quoted = classes.map((name) => JSON.stringify(name));
  const ids = [...quoted.map((name, id) => `${id}: ${name}`), `${UNSET}: "ignore"`];
  return new TextEncoder().encode(`classes: [${quoted.join(", ")}]\nids: {${ids.join(", ")}}\n`);
}

/** Labels at the places that the points have in their file. */
export function toFileRows(labels: Uint8Array, fileRow: Int32Array, info: Manifest["frames"][number]): Uint8Array {
  const out = new Uint8Array(info.numRows).fill(UNSET);
  labels.forEach((label, i) => (out[fileRow[i]] = label));
  return out;
}

function distinct(stem: string, taken: Set<string>): string {
  let name = `${stem}.npy`;
  for (let n = 2; taken.has(name); n++) name = `${stem}-${n}.npy`;
  taken.add(name);
  return name;
}

export async function saveHead(session: Session): Promise<void> {
  const { choice } = session.state;
  const taught = choice === null ? null : await session.labelling.head(choice);
  if (choice === null || taught === null) {
    session.say("No class is marked: there is no head to save.");
    return;
  }
  if (choice.space === "teacher") {
    session.say("A head of the teacher's features needs images: choose the space of the backbone or of the head, and save again.");
    return;
  }
  const dims = session.manifest.models[choice.model].spaces.find((s) => s.name === choice.space)?.dims ?? DIMS;
  const body = { classes: session.labelling.classes, ...rowsOf(taught.head, dims) };
  if (session.manifest.canSaveHead) {
    const path = pathOf(await session.source.post("head", { model: choice.model, space: choice.space, ...body }));
    session.say(`Saved: ${path}`);
    return;
  }
  const basis = await session.store.headBasis(choice.model, choice.space);
  downloadJson("lidistill.head.json", { ...(isRecord(basis) ? basis : {}), ...body });
  session.say("The head is in lidistill.head.json: lidistill predict takes it with --head.");
}

function rowsOf(head: Head, dims: number): { weights: number[][]; bias: number[] } {
  return { weights: head.weights.map((row) => Array.from(row.slice(0, dims))), bias: [...head.bias] };
}

function pathOf(answer: unknown): string {
  return isRecord(answer) && typeof answer.path === "string" ? answer.path : "";
}
