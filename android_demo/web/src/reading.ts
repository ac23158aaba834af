/** How a model reads picture files: the numbers in them that are black and white. */

import type { Pixels } from "./pixels";

export type Range = readonly [number, number];

export interface Reading {
  /** None: the files' own colours. */
  readonly range: Range | undefined;
  /** Whether colours become grey, and that before they are rounded to 8 bits. */
  readonly isGrey: boolean;
}

const LARGEST = 65535;
const PER_LEVEL = 257; // numbers of 16 bits for each level of 8

/** That of a model with a range, if it has one, for pictures of some channels. */
export function readingOf(range: Range | null | undefined, channels: number): Reading {
  return range ? { range, isGrey: channels === 1 } : { range: undefined, isGrey: false };
}

export function isSame(one: Reading, other: Reading): boolean {
  const [black, white] = one.range ?? [];
  const isSameRange = black === other.range?.[0] && white === other.range?.[1];
  return isSameRange && one.isGrey === other.isGrey;
}

/** Whether a range is beyond what files of 8 bits hold. */
export function isDeep([black, white]: Range): boolean {
  return black < 0 || white > 255;
}

/** Stores the colours of numbers as RGB from a place on. */
export type Store = (
  to: Uint8ClampedArray,
  at: number,
  red: number,
  green: number,
  blue: number,
) => void;

/** Stores the colours that whole numbers below a count have in a range. */
export function storing(range: Range, isGrey: boolean, count: number): Store {
  const table = tableOf(range, count);
  return (to, at, red, green, blue) => {
    const [r, g, b] = [table[red]!, table[green]!, table[blue]!];
    if (isGrey && !(r === g && r === b)) {
      // The sum is below 2^32, and so is right without a sign.
      to[at] = to[at + 1] = to[at + 2] = level((19595 * r + 38470 * g + 7471 * b + 0x8000) >>> 16);
      return;
    }
    to[at] = level(r);
    to[at + 1] = level(g);
    to[at + 2] = level(b);
  };
}

/** The pixels of a file of 8 bits, in place. */
export function scaled(pixels: Pixels, { range, isGrey }: Reading): void {
  if (!range) return;
  const store = storing(range, isGrey, 256);
  const { data } = pixels;
  for (let k = 0; k < data.length; k += 4) store(data, k, data[k]!, data[k + 1]!, data[k + 2]!);
}

/** What each number is among 0..65535, rounded half to even as NumPy does. */
function tableOf([black, white]: Range, count: number): Uint16Array {
  return Uint16Array.from({ length: count }, (_, number) => {
    const share = Math.min(1, Math.max(0, (number - black) / (white - black)));
    return share * LARGEST + 2 ** 52 - 2 ** 52;
  });
}

/** Of 16 bits as 8; none is in the middle between two. */
function level(number: number): number {
  return Math.floor((number + (PER_LEVEL - 1) / 2) / PER_LEVEL);
}
