/** Numbers in [0, 1] as colours. */

export type Rgb = readonly [number, number, number];
export type PaletteName = "blue-red" | "cividis";
export const PALETTES: readonly PaletteName[] = ["blue-red", "cividis"];

/** Colours at equal steps; between them straight lines. */
type Stops = readonly Rgb[];

/** Cold to hot; the usual heat map, which red-green blindness dulls. */
const BLUE_RED: Stops = [[38, 52, 148], [54, 97, 196], [112, 142, 214], [168, 160, 190], [222, 150, 122], [236, 98, 60], [255, 36, 16]];
/** Dark blue to yellow, by lightness: looks alike to all eyes (Nunez, Anderton, Renslow, PLOS ONE 2018). */
const CIVIDIS: Stops = [[0, 34, 78], [31, 57, 108], [66, 78, 108], [97, 101, 111], [124, 123, 120], [155, 146, 118], [188, 171, 108], [222, 198, 88], [254, 232, 56]];
/** Plain numbers: van der Walt and Smith's viridis without its darkest fifth, which a dark page would swallow. */
const VIRIDIS: Stops = [[65, 68, 135], [53, 95, 141], [42, 120, 142], [33, 145, 140], [34, 168, 132], [68, 191, 112], [122, 209, 81], [189, 223, 38], [253, 231, 37]];

const STEPS = 256;

/** (256, 3) bytes of a palette. */
function table(stops: Stops): Uint8Array {
  const out = new Uint8Array(3 * STEPS);
  for (let i = 0; i < STEPS; i++) {
    const at = (i / (STEPS - 1)) * (stops.length - 1);
    const first = Math.min(stops.length - 2, Math.floor(at));
    for (let k = 0; k < 3; k++) out[3 * i + k] = Math.round(stops[first][k] + (at - first) * (stops[first + 1][k] - stops[first][k]));
  }
  return out;
}

export const NUMBERS = table(VIRIDIS);
export const HEAT: Readonly<Record<PaletteName, Uint8Array>> = { "blue-red": table(BLUE_RED), cividis: table(CIVIDIS) };

/** First byte of a number's colour in a palette's bytes. */
export function colorAt(value: number): number {
  return 3 * Math.max(0, Math.min(STEPS - 1, Math.round(value * (STEPS - 1))));
}

/** A colour of its own for each number of a list without meaning, as clusters are: hues by the golden ratio. */
export function idColor(id: number): Rgb {
  const hue = (id * 0.618033988749895) % 1;
  const lightness = 0.45 + 0.2 * ((id * 0.7548776662466927) % 1);
  const part = (n: number): number => {
    const k = (n + hue * 12) % 12;
    return Math.round(255 * (lightness - 0.7 * Math.min(lightness, 1 - lightness) * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [part(0), part(8), part(4)];
}

/** A palette's bytes as a CSS gradient from left to right. */
export function gradient(bytes: Uint8Array): string {
  const stops = Array.from({ length: 9 }, (_, i) => {
    const at = 3 * Math.round((i / 8) * (STEPS - 1));
    return `rgb(${bytes[at]} ${bytes[at + 1]} ${bytes[at + 2]})`;
  });
  return `linear-gradient(to right, ${stops.join(", ")})`;
}
