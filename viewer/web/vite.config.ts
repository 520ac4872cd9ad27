/** Builds one file without any other: src/lidistill/viewer/page/index.html of the Python package. */

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const PAGE = join(HERE, "../../src/lidistill/viewer/page");
/** What decides the page's bytes, beside all that is in src. */
const SOURCES = ["index.html", "package-lock.json", "tsconfig.json", "vite.config.ts"];

/** SHA-256 over names and contents of the sources; a test of the Python side computes the same. */
function sourceHash(): string {
  const inside = readdirSync(join(HERE, "src"), { recursive: true, withFileTypes: true }).filter((f) => f.isFile());
  const files = [...SOURCES, ...inside.map((f) => relative(HERE, join(f.parentPath, f.name)))];
  const hash = createHash("sha256");
  for (const file of files.map((f) => f.replaceAll("\\", "/")).sort()) {
    hash.update(`${file}\0`).update(readFileSync(join(HERE, file))).update("\0");
  }
  return hash.digest("hex");
}

/** Puts the script and the style into the page, the licence of what is bundled before them. */
function oneFile(): Plugin {
  return {
    name: "one-file",
    enforce: "post",
    generateBundle(_, bundle) {
      const page = bundle["index.html"];
      if (page === undefined || page.type !== "asset") return;
      const three = readFileSync(join(HERE, "node_modules/three/LICENSE"), "utf-8").trim();
      const about = `<!--\nBuilt from viewer/web of lidistill (Apache-2.0); sources ${sourceHash()}.\nHolds three.js, https://threejs.org:\n${three}\n-->`;
      let html = String(page.source).replace("</head>", () => `  ${about}\n  </head>`);
      for (const [name, part] of Object.entries(bundle)) {
        if (part.type === "chunk") {
          const code = part.code.trim().replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--");
          html = html.replace(new RegExp(`\\s*<script type="module"[^>]*src="[^"]*${name}"></script>`), "");
          html = html.replace("</body>", () => `  <script type="module">${code}</script>\n  </body>`);
        } else if (name.endsWith(".css")) {
          const style = String(part.source).trim();
          html = html.replace(new RegExp(`<link rel="stylesheet"[^>]*href="[^"]*${name}">`), () => `<style>${style}</style>`);
        } else continue;
        delete bundle[name];
      }
      page.source = html;
    },
  };
}

export default defineConfig({
  base: "./",
  plugins: [oneFile()],
  build: {
    outDir: process.env.LIDISTILL_PAGE ?? PAGE,
    emptyOutDir: false,
    target: "es2022",
    assetsInlineLimit: 1 << 30,
    cssCodeSplit: false,
    modulePreload: false,
    chunkSizeWarningLimit: 1500,
  },
});
