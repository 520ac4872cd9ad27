/** Where the data comes from: a server of this machine, or files beside (or inside) the page. */

export interface DataSource {
  readonly kind: "server" | "static";
  /** The text of `manifest`. */
  manifest(): Promise<string>;
  /** Other JSON: `head/<m>/<space>`. */
  json(name: string): Promise<unknown>;
  /** A binary container: `frame/<i>`, `features/<m>/<space>/<i>` or `predictions/<m>/<i>`. */
  binary(name: string): Promise<ArrayBuffer>;
  /** The bytes of `image/<i>/<v>`. */
  image(name: string, mediaType: string): Promise<Blob>;
  /** Hands JSON to the server; the static page has none to hand it to. */
  post(name: string, body: unknown): Promise<unknown>;
}

export class SourceError extends Error {}
