/**
 * The binary container: 8 bytes "LDVIEW01", the header's length (uint32, little endian), a JSON header,
 * padding to 8 bytes, then the arrays, each at a multiple of 8 bytes from the end of the padded header.
 */

const MAGIC = "LDVIEW01";

const TYPES = {
  float32: Float32Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
} as const;

export type Values = Float32Array | Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array;

/** One array of a container: stored codes and what they mean. value = zero + code x scale. */
export interface Stored {
  readonly values: Values;
  readonly shape: readonly number[];
  readonly scale: number;
  readonly zero: number;
}

export class FormatError extends Error {}

/** Reads a container; every claim of its header is checked against the bytes that are there. */
export function readContainer(bytes: ArrayBuffer, name: string): Map<string, Stored> {
  if (bytes.byteLength < 12) throw new FormatError(`${name} is ${bytes.byteLength} bytes, too short for a header`);
  const magic = String.fromCharCode(...new Uint8Array(bytes, 0, 8));
  if (magic !== MAGIC) throw new FormatError(`${name} begins with ${JSON.stringify(magic)}, expected ${MAGIC}`);
  const length = new DataView(bytes).getUint32(8, true);
  const start = Math.ceil((12 + length) / 8) * 8;
  if (start > bytes.byteLength) throw new FormatError(`${name} ends inside its header`);
  const header: unknown = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 12, length)));
  const arrays = isRecord(header) && isRecord(header.arrays) ? header.arrays : null;
  if (arrays === null) throw new FormatError(`${name} lists no arrays in its header`);
  const found = new Map<string, Stored>();
  for (const [key, entry] of Object.entries(arrays)) found.set(key, readArray(bytes, start, entry, `${name}: ${key}`));
  return found;
}

function readArray(bytes: ArrayBuffer, start: number, entry: unknown, name: string): Stored {
  if (!isRecord(entry)) throw new FormatError(`${name} has no description`);
  const kind = TYPES[entry.dtype as keyof typeof TYPES];
  if (kind === undefined || !Object.hasOwn(TYPES, String(entry.dtype))) {
    throw new FormatError(`${name} has dtype ${String(entry.dtype)}, expected one of ${Object.keys(TYPES).join(", ")}`);
  }
  const shape = Array.isArray(entry.shape) ? entry.shape : [];
  const offset = entry.offset;
  if (shape.length === 0 || ![...shape, offset].every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw new FormatError(`${name} has no valid shape and offset`);
  }
  const count = (shape as number[]).reduce((a, b) => a * b, 1);
  const first = start + (offset as number);
  if (first % 8 !== 0) throw new FormatError(`${name} begins at byte ${first}, expected a multiple of 8`);
  if (first + count * kind.BYTES_PER_ELEMENT > bytes.byteLength) throw new FormatError(`${name} ends beyond the file`);
  const values = new kind(bytes, first, count);
  return {
    values: entry.layout === "columns" ? byRows(values, shape as number[]) : values,
    shape: shape as number[],
    scale: numberOr(entry.scale, 1),
    zero: numberOr(entry.zero, 0),
  };
}

/** Rows one after the other, of a table stored column by column (which packs better). */
function byRows(values: Values, shape: readonly number[]): Values {
  const width = shape[shape.length - 1];
  const count = values.length / width;
  const out = values.slice();
  for (let k = 0, at = 0; k < width; k++) for (let i = 0; i < count; i++, at++) out[i * width + k] = values[at];
  return out;
}

/** The code of a column that means "no value": the largest of unsigned ones; null where every code is a value. */
export function missingCode(values: Values): number | null {
  return values instanceof Uint8Array ? 255 : values instanceof Uint16Array ? 65535 : null;
}

/** Numbers of a stored array; not-a-number where there is none. */
export function decode(stored: Stored): Float32Array {
  const { values, scale, zero } = stored;
  const missing = missingCode(values);
  if (values instanceof Float32Array && scale === 1 && zero === 0) return values;
  const out = new Float32Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = values[i] === missing ? NaN : zero + values[i] * scale;
  return out;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function numberOr(value: unknown, fallback: number): number {
  return typeof value === "number" && Number.isFinite(value) ? value : fallback;
}
