/** Seeds from a text or an example image, where the server can turn them into features. */

import { isRecord } from "../data/container";
import { isVector } from "../data/manifest";
import type { Session } from "../state/session";
import { el } from "./dom";

const MOST_BYTES = 5_000_000;

export function queryFields(session: Session): HTMLElement[] {
  const { textQueries, imageQueries } = session.manifest;
  const fields: HTMLElement[] = [];
  if (textQueries.length > 0) {
    const text = el("input", { type: "text", maxlength: 200, placeholder: "for example: a parked car" });
    text.addEventListener("keydown", (event) => event.key === "Enter" && void session.attempt(() => ask(session, textQueries, text.value, { text: text.value })));
    fields.push(el("label", { class: "field" }, el("span", {}, "Seed from words"), text));
  }
  if (imageQueries.length > 0) {
    const file = el("input", { type: "file", accept: "image/jpeg,image/png" });
    file.addEventListener("change", () => void session.attempt(() => askImage(session, imageQueries, file.files?.[0])));
    fields.push(el("label", { class: "field" }, el("span", {}, "Seed from an image"), file));
  }
  return fields;
}

async function askImage(session: Session, models: readonly number[], file: File | undefined): Promise<void> {
  if (file === undefined) return;
  if (file.size > MOST_BYTES) throw new Error(`${file.name} has ${file.size} bytes; at most ${MOST_BYTES} are taken: make it smaller.`);
  const bytes = new Uint8Array(await file.arrayBuffer());
  let raw = "";
  for (const byte of bytes) raw += String.fromCharCode(byte);
  await ask(session, models, file.name, { image: btoa(raw) });
}

async function ask(session: Session, models: readonly number[], name: string, what: { text: string } | { image: string }): Promise<void> {
  const { choice } = session.state;
  const model = models.find((m) => m === choice?.model) ?? models[0];
  const answer = await session.source.post("query", { format: 1, model, ...what });
  if (!isRecord(answer) || !isVector(answer.vector)) throw new Error("the server's answer holds no feature");
  const space = session.manifest.models[model].spaces.find((s) => s.name === "head") ?? session.manifest.models[model].spaces.find((s) => s.name === "teacher");
  if (space !== undefined) await session.change({ choice: { model, space: space.name } });
  await session.addSeed({ kind: "query", name, vector: answer.vector });
}
