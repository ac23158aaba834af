/** Opaque pictures of 8 bits a channel, and what needs no arithmetic on neighbours. */

/** RGBA, row-major, alpha 255; an ImageData is one. Storing rounds half to even and clips. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray<ArrayBuffer>;
}

export interface Size {
  readonly height: number;
  readonly width: number;
}

/** Part of a picture. */
export interface Region extends Size {
  readonly top: number;
  readonly left: number;
}

export function blank({ height, width }: Size): Pixels {
  return { height, width, data: new Uint8ClampedArray(4 * height * width).fill(255) };
}

export function cropped(pixels: Pixels, region: Region): Pixels {
  return gathered(
    pixels,
    Array.from({ length: region.height }, (_, i) => region.top + i),
    Array.from({ length: region.width }, (_, j) => region.left + j),
  );
}

/** A picture with another one of a region's size in its place. */
export function inserted(pixels: Pixels, part: Pixels, { top, left }: Region): Pixels {
  if (part.height === pixels.height && part.width === pixels.width) return part;
  const { height, width } = pixels;
  const result = { height, width, data: pixels.data.slice() };
  const [from, to] = [words(part), words(result)];
  for (let i = 0; i < part.height; i++) {
    const row = from.subarray(i * part.width, (i + 1) * part.width);
    to.set(row, (top + i) * pixels.width + left);
  }
  return result;
}

/** 0..255 pixel by pixel: RGB in 3 channels, or in 1 the luminance. */
export function levels({ data }: Pixels, channels: number): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array((channels * data.length) / 4);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    if (channels === 1) {
      result[to++] = luminance(data[from]!, data[from + 1]!, data[from + 2]!);
    } else {
      for (let c = 0; c < 3; c++) result[to++] = data[from + c]!;
    }
  }
  return result;
}

/** A picture of values pixel by pixel in 3 channels, or in 1, which is repeated. */
export function pictured(values: ArrayLike<number>, size: Size, channels: number): Pixels {
  const result = blank(size);
  const step = channels === 1 ? 0 : 1;
  for (let from = 0, to = 0; from < values.length; from += channels, to += 4) {
    for (let c = 0; c < 3; c++) result.data[to + c] = values[from + c * step]!;
  }
  return result;
}

/** The picture as its luminance. */
export function inGrey(pixels: Pixels): Pixels {
  return pictured(levels(pixels, 1), pixels, 1);
}

/** A picture turned as its Exif orientation 1..8 says; others, such as 0, say nothing. */
export function upright(pixels: Pixels, orientation: number): Pixels {
  if (orientation < 2 || orientation > 8) return pixels;
  const { height, width } = pixels;
  const isTransposed = orientation >= 5;
  const isFromRight = [2, 3, 7, 8].includes(orientation);
  const isFromBelow = [3, 4, 6, 7].includes(orientation);
  const result = blank(isTransposed ? { height: width, width: height } : { height, width });
  const [from, to] = [words(pixels), words(result)];
  for (let i = 0, k = 0; i < result.height; i++) {
    for (let j = 0; j < result.width; j++, k++) {
      const [row, column] = isTransposed ? [j, i] : [i, j];
      const [y, x] = [isFromBelow ? height - 1 - row : row, isFromRight ? width - 1 - column : column];
      to[k] = from[y * width + x]!;
    }
  }
  return result;
}

export function isGrey({ data }: Pixels): boolean {
  for (let k = 0; k < data.length; k += 4) {
    if (data[k] !== data[k + 1] || data[k] !== data[k + 2]) return false;
  }
  return true;
}

/** Rec. 601's, in units of 2^-16, rounded as Pillow does; grey stays as it is. */
function luminance(red: number, green: number, blue: number): number {
  return (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16;
}

/** The picture reflected below and to the right up to a size, as often as it takes. */
export function reflected(pixels: Pixels, { height, width }: Size): Pixels {
  return gathered(pixels, mirrored(pixels.height, height), mirrored(pixels.width, width));
}

/** before + strength x (after - before): exactly the one at 0 and the other at 1. */
export function mixed(before: Pixels, after: Pixels, strength: number): Pixels {
  const result = blank(before);
  for (let k = 0; k < result.data.length; k++) {
    const from = before.data[k]!;
    result.data[k] = from + strength * (after.data[k]! - from);
  }
  return result;
}

/** For each of `length` places the one among the first `known` that it mirrors. */
function mirrored(known: number, length: number): number[] {
  const period = Math.max(1, 2 * (known - 1));
  return Array.from({ length }, (_, i) => {
    const place = i % period;
    return place < known ? place : period - place;
  });
}

function gathered(pixels: Pixels, rows: number[], columns: number[]): Pixels {
  const isWhole = rows.length === pixels.height && columns.length === pixels.width;
  if (isWhole) return pixels; // both callers then name every row and column in order
  const result = blank({ height: rows.length, width: columns.length });
  const from = words(pixels);
  const to = words(result);
  let k = 0;
  for (const row of rows) {
    const start = row * pixels.width;
    for (const column of columns) to[k++] = from[start + column]!;
  }
  return result;
}

function words({ data }: Pixels): Uint32Array {
  return new Uint32Array(data.buffer, data.byteOffset, data.length / 4);
}
