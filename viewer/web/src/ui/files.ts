/** Files that the page hands out: downloads, NumPy arrays, archives. */

export function download(name: string, content: Blob): void {
  const address = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

export function downloadJson(name: string, content: unknown): void {
  download(name, new Blob([JSON.stringify(content)], { type: "application/json" }));
}

/** One-dimensional bytes as a .npy file, version 1.0. */
export function npy(values: Uint8Array): Uint8Array<ArrayBuffer> {
  const about = `{'descr': '|u1', 'fortran_order': False, 'shape': (${values.length},), }`;
  const header = about.padEnd(Math.ceil((10 + about.length + 1) / 64) * 64 - 11) + "\n";
  const out = new Uint8Array(10 + header.length + values.length);
  out.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length & 255, header.length >> 8]);
  out.set(new TextEncoder().encode(header), 10);
  out.set(values, 10 + header.length);
  return out;
}

/** A name of data as the name of a file: no folder, no hidden file, nothing a shell or Windows would read. */
export function fileName(name: string): string {
  return name.replace(/[^A-Za-z0-9._-]+/g, "_").replace(/^[._]+/, "").slice(0, 100) || "frame";
}

/** An archive whose files are stored as they are (PKWARE's APPNOTE 6.3, sections 4.3.7, 4.3.12, 4.3.16). */
export function zip(files: readonly { readonly name: string; readonly bytes: Uint8Array }[]): Blob {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const entries: Uint8Array<ArrayBuffer>[] = [];
  let offset = 0;
  for (const { name, bytes } of files) {
    const path = new TextEncoder().encode(name);
    const sum = crc32(bytes);
    const common = [20, 0x0800, 0, 0, 0x21]; // version, UTF-8 names, stored, 1980-01-01
    parts.push(fields([[0x04034b50, 4], ...common.map(two), [sum, 4], [bytes.length, 4], [bytes.length, 4], [path.length, 2], [0, 2]]), path, bytes.slice());
    entries.push(
      fields([
        [0x02014b50, 4], [20, 2], ...common.map(two), [sum, 4], [bytes.length, 4], [bytes.length, 4], [path.length, 2],
        [0, 2], [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4],
      ]),
      path,
    );
    offset += 30 + path.length + bytes.length;
  }
  const size = entries.reduce((sum, entry) => sum + entry.length, 0);
  const end = fields([[0x06054b50, 4], [0, 2], [0, 2], [files.length, 2], [files.length, 2], [size, 4], [offset, 4], [0, 2]]);
  return new Blob([...parts, ...entries, end], { type: "application/zip" });
}

function two(value: number): [number, number] {
  return [value, 2];
}

function fields(values: readonly (readonly [value: number, bytes: number])[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(values.reduce((sum, [, bytes]) => sum + bytes, 0));
  let at = 0;
  for (const [value, bytes] of values) for (let b = 0; b < bytes; b++) out[at++] = (value >>> (8 * b)) & 255;
  return out;
}

export function crc32(bytes: Uint8Array): number {
  let sum = 0xffffffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return ~sum >>> 0;
}
