/** Starts the page: data, session, stage and everything around it. */

import "./style.css";

import { readManifest, type Manifest } from "./data/manifest";
import { ServerSource } from "./data/server-source";
import type { DataSource } from "./data/source";
import { StaticSource } from "./data/static-source";
import { hooksOf } from "./hooks";
import { markersOf } from "./render/seed-markers";
import { Stage } from "./render/stage";
import { fromHash, toHash } from "./state/permalink";
import { Session, usualState } from "./state/session";
import { displayPart } from "./ui/display";
import { el } from "./ui/dom";
import { Enlarged } from "./ui/enlarged";
import { findingsPart } from "./ui/findings";
import { Help } from "./ui/help";
import { hoverBox } from "./ui/hover";
import { ImageStrip } from "./ui/images";
import { keysOf, listenToKeys } from "./ui/keys";
import { labelsPart } from "./ui/labels";
import { modelsPart, panelNames } from "./ui/models";
import { modesPart } from "./ui/modes";
import { listenToPointer } from "./ui/pointer";
import { similarPart } from "./ui/similar";
import { Timeline } from "./ui/timeline";

declare global {
  interface Window {
    lidistill: object;
  }
}

const THEMES = { dark: { background: "#14161a", lines: "#7a8290" }, light: { background: "#f4f5f7", lines: "#5b6270" } } as const;

function sourceOfPage(): DataSource {
  if (window.lidistill_source === "inline") return StaticSource.inline();
  return window.lidistill_source === "folder" ? StaticSource.folder() : new ServerSource();
}

function start(manifest: Manifest, source: DataSource, page: HTMLElement): Promise<void> {
  const usual = usualState(manifest, !matchMedia("(prefers-color-scheme: light)").matches);
  const session = new Session(manifest, source, fromHash(location.hash, manifest, usual));
  const canvas = el("canvas", { tabindex: 0, role: "application", "aria-label": "The scan in 3D. Enter sets a seed in the middle, arrow keys move it, Ctrl and arrow keys turn the camera, ? lists all keys." });
  const stage = new Stage(canvas);
  const enlarged = new Enlarged(session);
  const enlarge = (view: number): void => enlarged.open(view);
  const timeline = new Timeline(session);
  const strip = new ImageStrip(session, enlarge);
  const help = new Help(() => keys);
  const keys = keysOf({ session, stage, timeline, enlarge, help: () => help.open() });
  const message = el("p", { class: "message", role: "status", "aria-live": "polite" });
  session.onMessage((text) => (message.textContent = text));
  document.title = manifest.title === "" ? "lidistill view" : `${manifest.title} · lidistill view`;
  const ask = el("button", { type: "button", title: "All keys (?)", onclick: () => help.open() }, "Keys ?");
  const head = el("header", {}, el("h1", {}, manifest.title === "" ? "lidistill view" : manifest.title), ask);
  const parts = [findingsPart(session, enlarge), modelsPart(session), modesPart(session), manifest.models.length > 0 ? similarPart(session) : null, labelsPart(session), displayPart(session, stage)];
  const side = el("nav", { class: "side", "aria-label": "Settings" }, head, ...parts);
  const scan = el("main", { class: "scan" }, canvas, listenToPointer(canvas, session, stage), panelNames(session), hoverBox(session), message);
  page.replaceChildren(side, scan, strip.element, timeline.element, enlarged.element, help.element);
  listenToKeys(keys, () => help.singleKeys);
  follow(session, stage);
  return session.change({});
}

/** The stage, the theme and the address follow the session. */
function follow(session: Session, stage: Stage): void {
  let written = "";
  let timer = 0;
  const mark = (): void => stage.mark(markersOf(session));
  session.on("state", () => {
    const { theme, pointSize, shading } = session.state;
    document.documentElement.dataset.theme = theme;
    stage.restyle({ pointSize, shading, ...THEMES[theme] });
    clearTimeout(timer);
    timer = window.setTimeout(() => {
      written = toHash(session.state);
      writeAddress(written);
    }, 250);
  });
  session.on("shown", () => {
    const { shown } = session;
    if (shown === null) return;
    stage.show(shown.scan.xyz, shown.panels.map(({ picture }) => picture.colors));
    mark();
  });
  session.on("hover", mark);
  if (session.state.camera !== null) stage.look(session.state.camera);
  stage.controls.addEventListener("change", () => session.moveCamera(stage.view));
  window.addEventListener("hashchange", () => {
    if (location.hash === written) return;
    const state = fromHash(location.hash, session.manifest, session.state);
    if (state.camera !== null) stage.look(state.camera);
    void session.change(state);
  });
  let resolve = (): void => undefined;
  const ready = new Promise<void>((done) => (resolve = done));
  session.on("shown", resolve);
  window.lidistill = hooksOf(session, stage, ready);
}

/** A page inside another one, as in a notebook, may have no address of its own to write to. */
function writeAddress(hash: string): void {
  if (location.protocol !== "about:") history.replaceState(null, "", hash);
}

async function open(): Promise<void> {
  const page = document.getElementById("page");
  if (page === null) return;
  try {
    const source = sourceOfPage();
    await start(readManifest(await source.manifest()), source, page);
  } catch (error) {
    page.replaceChildren(el("p", { class: "failed", role: "alert" }, `This page cannot show its data: ${error instanceof Error ? error.message : String(error)}`));
  }
}

void open();
