/**
 * Data of an exported page. Pages from a disk may load scripts but not fetch files, so in a folder every
 * name is a script that hands over base64 text; in a single file the text stands inside the page.
 */

import { SourceError, type DataSource } from "./source";

declare global {
  interface Window {
    /** Said by the page's first script: where the data are. */
    lidistill_source?: "server" | "folder" | "inline";
    /** Called by the scripts of an exported folder. */
    lidistill_data?: (name: string, base64: string) => void;
  }
}

/** Where the text of a name is found. */
type Texts = (name: string) => Promise<string>;

export class StaticSource implements DataSource {
  readonly kind = "static";

  private constructor(private readonly text: Texts) {}

  /** Data in scripts beside the page: data/NAME.js. */
  static folder(): StaticSource {
    const arrived = new Map<string, string>();
    window.lidistill_data = (name, base64) => arrived.set(name, base64);
    return new StaticSource(async (name) => {
      await loadScript(`data/${name}.js`);
      const text = arrived.get(name);
      if (text === undefined) throw new SourceError(`data/${name}.js does not hold ${name}: export again`);
      arrived.delete(name);
      return text;
    });
  }

  /** Data in elements of the page, which the browser does not run. */
  static inline(): StaticSource {
    return new StaticSource(async (name) => {
      const element = document.querySelector(`script[data-name="${CSS.escape(name)}"]`);
      if (element === null) throw new SourceError(`this page does not hold ${name}: export again`);
      return element.textContent ?? "";
    });
  }

  async manifest(): Promise<string> {
    return new TextDecoder().decode(await this.binary("manifest"));
  }

  async json(name: string): Promise<unknown> {
    return JSON.parse(new TextDecoder().decode(await this.binary(name)));
  }

  async binary(name: string): Promise<ArrayBuffer> {
    const packed = new Blob([fromBase64(await this.text(name))]);
    return new Response(packed.stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  }

  async image(name: string, mediaType: string): Promise<Blob> {
    return new Blob([fromBase64(await this.text(name))], { type: mediaType });
  }

  async post(): Promise<unknown> {
    throw new SourceError("this page has no server: files are downloaded instead");
  }
}

function loadScript(address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    script.onload = () => {
      script.remove();
      resolve();
    };
    script.onerror = () => {
      script.remove();
      reject(new SourceError(`${address} is missing or broken: keep the folder's files together, or export again`));
    };
    document.head.append(script);
  });
}

export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}
