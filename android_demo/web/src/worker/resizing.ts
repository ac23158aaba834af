/** Scaling pictures: averages over areas to make them smaller, bilinear to make them larger. */

import { blank, type Pixels, type Size } from "../pixels";

/** Parts of the source in one sample: weights that sum to 1, from `first` on. */
interface Share {
  readonly first: number;
  readonly weights: readonly number[];
}

export function resized(pixels: Pixels, { height, width }: Size): Pixels {
  if (height === pixels.height && width === pixels.width) return pixels;
  const across = shares(pixels.width, width);
  const down = shares(pixels.height, height);
  const result = blank({ height, width });
  const narrowed = resizedRows(pixels, across);
  const row = new Float64Array(3 * width);
  for (let i = 0; i < height; i++) {
    const { first, weights } = down[i]!;
    row.fill(0);
    for (let k = 0; k < weights.length; k++) {
      const weight = weights[k]!;
      const start = (first + k) * row.length;
      for (let c = 0; c < row.length; c++) row[c]! += weight * narrowed[start + c]!;
    }
    for (let j = 0, c = 0, to = 4 * i * width; j < width; j++, c += 3, to += 4) {
      result.data[to] = row[c]!;
      result.data[to + 1] = row[c + 1]!;
      result.data[to + 2] = row[c + 2]!;
    }
  }
  return result;
}

/** RGB with every row scaled, not rounded yet. */
function resizedRows({ data, width, height }: Pixels, across: Share[]): Float32Array {
  const result = new Float32Array(3 * height * across.length);
  let to = 0;
  for (let i = 0; i < height; i++) {
    for (const { first, weights } of across) {
      let red = 0;
      let green = 0;
      let blue = 0;
      let from = 4 * (i * width + first);
      for (const weight of weights) {
        red += weight * data[from]!;
        green += weight * data[from + 1]!;
        blue += weight * data[from + 2]!;
        from += 4;
      }
      result[to++] = red;
      result[to++] = green;
      result[to++] = blue;
    }
  }
  return result;
}

function shares(from: number, to: number): Share[] {
  const scale = from / to;
  return Array.from({ length: to }, (_, i) =>
    to < from ? areaShare(i * scale, (i + 1) * scale, from) : pointShare((i + 0.5) * scale, from),
  );
}

/** The mean from `start` to `end`. */
function areaShare(start: number, end: number, length: number): Share {
  const first = Math.floor(start);
  const beyond = Math.min(length, Math.ceil(end)); // rounding may have carried `end` past the edge
  const weights = Array.from(
    { length: beyond - first },
    (_, k) => (Math.min(end, first + k + 1) - Math.max(start, first + k)) / (end - start),
  );
  return { first, weights };
}

/** The value at `place`, between the centres of two samples; at the rims the last one's. */
function pointShare(place: number, length: number): Share {
  const centre = Math.min(length - 1, Math.max(0, place - 0.5));
  const first = Math.min(Math.floor(centre), Math.max(0, length - 2));
  const part = centre - first;
  return { first, weights: part === 0 ? [1] : [1 - part, part] };
}
