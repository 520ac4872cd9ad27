/** Seeds, the threshold, and how many points are alike on this and on the other frames. */

import type { Session } from "../state/session";
import type { Seed } from "../state/state";
import { button, el, section, slider } from "./dom";
import { queryFields } from "./query";

export function seedText(session: Session, seed: Seed): string {
  if (seed.kind === "query") return seed.name;
  const frame = session.manifest.frames[seed.frame];
  if (seed.kind === "point") return `point ${seed.point}, ${frame.id}`;
  const [left, top, right, bottom] = seed.box;
  const { view, width, height } = frame.images[seed.view];
  const what = left === right && top === bottom ? "pixel" : "box from";
  return `${what} ${Math.round(left * width)}, ${Math.round(top * height)} of ${view}, ${frame.id}`;
}

export function similarPart(session: Session): HTMLElement {
  const seeds = el("ul", { class: "seeds" });
  const threshold = slider("Threshold", { min: -1, max: 1, step: 0.01 }, (value) => void session.change({ threshold: value }));
  const automatic = button("Automatic", "Threshold that parts the seed's scan best into two kinds", () => void session.change({ threshold: null }));
  const counts = el("p", { class: "counts", "aria-live": "polite", id: "counts" });
  const forget = button("Forget seeds", "Forget all seeds (Backspace)", () => void session.change({ seeds: [] }));
  const everywhere = button("Search all frames", "Load every frame's features and count there too", () => void session.attempt(() => searchAll(session)));
  const ready = session.manifest.models.flatMap((model, m) =>
    model.queries.map((query) => button(query.name, `Seed: ${query.name} (${model.name})`, () => void session.addSeed({ kind: "query", name: query.name, vector: [...query.vector] }), { "data-model": m })),
  );
  session.on("state", () => {
    seeds.replaceChildren(
      ...session.state.seeds.map((seed, i) => {
        const text = seedText(session, seed);
        const drop = button("✕", `Forget ${text}`, () => void session.change({ seeds: session.state.seeds.filter((_, k) => k !== i) }), { "aria-label": `Forget ${text}` });
        return el("li", {}, el("span", {}, text), drop);
      }),
    );
  });
  session.on("shown", () => void session.attempt(() => showCounts(session, threshold, counts)));
  return section("What else is like it?", true, seeds, ...queryFields(session), ...ready, threshold.field, el("div", { class: "row" }, automatic, forget, everywhere), counts);
}

async function showCounts(session: Session, threshold: ReturnType<typeof slider>, counts: HTMLElement): Promise<void> {
  const shown = session.shown;
  const picture = shown?.panels[0].picture;
  if (shown === null || picture === undefined || picture.count === null || picture.threshold === null) {
    counts.textContent = "";
    return;
  }
  threshold.show(picture.threshold, `${picture.threshold.toFixed(2)}${session.state.threshold === null ? " (automatic)" : ""}`);
  const found = await session.counts();
  if (shown !== session.shown) return;
  const here = found.filter((count) => count !== null);
  const sum = here.reduce((a, b) => a + b, 0);
  counts.textContent = `${picture.count} of ${shown.scan.count} points here; ${sum} on ${here.length} of ${found.length} frames`;
}

/** Loads the features of every frame, one after the other. */
export async function searchAll(session: Session): Promise<void> {
  const { choice } = session.state;
  if (choice === null) return;
  const { frames } = session.manifest;
  for (let frame = 0; frame < frames.length; frame++) {
    session.say(`Searching frame ${frame + 1} of ${frames.length}`);
    await session.store.features(choice.model, choice.space, frame);
  }
  session.say("");
  await session.refresh();
}
