/** What the data check found: a click goes to the frame and image that it speaks of. */

import type { Finding } from "../data/manifest";
import type { Session } from "../state/session";
import { button, el, section } from "./dom";

export function findingsPart(session: Session, enlarge: (view: number) => void): HTMLElement | null {
  const { findings, frames } = session.manifest;
  if (findings.length === 0) return null;
  const go = async (finding: Finding): Promise<void> => {
    const byDrive = frames.findIndex((f) => f.drive === finding.drive);
    const frame = finding.frame ?? (byDrive >= 0 ? byDrive : session.state.frame);
    await session.change({ frame, dots: true });
    const view = frames[frame].images.findIndex((image) => image.view === finding.view);
    if (view >= 0) enlarge(view);
  };
  const items = findings.map((finding) => el("li", { class: finding.severity === "warning" ? "warning" : "note" }, button(`${finding.severity}: ${finding.text}`, "Go there", () => void session.attempt(() => go(finding)))));
  return section(`Findings of the data check (${findings.length})`, true, el("ul", { class: "findings" }, ...items));
}
