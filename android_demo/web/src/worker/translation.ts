/** Translates photos of any size with a model that takes few sizes, or only one. */

import type { Fit, Translation } from "../messages";
import {
  blank,
  cropped,
  inGrey,
  inserted,
  type Pixels,
  type Region,
  reflected,
  type Size,
} from "../pixels";
import { resized } from "./resizing";
import { roundedUp, tileStarts, tileWeights } from "./tiles";

/** An image-to-image network. */
export interface Generator {
  readonly sizes: readonly Size[];
  readonly makesGrey: boolean;
  /** The network's stride, of which tiles' starts should be multiples. */
  readonly multiple: number;
  /** The translation of a picture of one of the sizes; none is given to a sampler. */
  run(pixels?: Pixels): Promise<Pixels>;
}

export type Progress = (done: number, total: number) => void;

/**
 * The translation of a photo, of its size.
 *
 * - whole: scaled until it fits into the model, and its translation scaled back.
 * - crop: so the largest part in the middle that has the model's shape; the rest stays as it is, or
 *   is made grey where the translation is.
 * - tiles: as it is, larger photos in overlapping tiles; as tfi2i_export.tflite.pictures.
 *
 * What does not fill the model is padded by reflection. Of several sizes, the smallest that holds
 * the photo is taken.
 */
export async function translate(
  generator: Generator,
  photo: Pixels,
  fit: Fit,
  tell: Progress,
): Promise<Translation> {
  const largest = least(generator.sizes, (size) => -area(size))!;
  const holding = generator.sizes.filter((size) => holds(size, photo));
  const size = least(holding, area) ?? largest;
  if (fit === "tiles" && !holding.length) {
    return { size, ...(await inTiles(generator, photo, size, tell)) };
  }
  const region = fit === "crop" ? middle(photo, size) : { top: 0, left: 0, ...sizeOf(photo) };
  const picture = cropped(photo, region);
  const fitted = fit === "tiles" ? picture : resized(picture, inside(picture, size));
  tell(0, 1);
  const answer = await generator.run(reflected(fitted, size));
  tell(1, 1);
  const translated = resized(topLeft(answer, fitted), picture);
  const around = fit === "crop" && generator.makesGrey ? inGrey(photo) : photo;
  return { size, pixels: inserted(around, translated, region), runs: 1 };
}

/** A sampler's picture. */
export async function sample(generator: Generator, tell: Progress): Promise<Translation> {
  tell(0, 1);
  const pixels = await generator.run();
  tell(1, 1);
  return { size: sizeOf(pixels), pixels, runs: 1 };
}

/** The translation of a photo that is larger than a tile, of which only one band is ever float. */
async function inTiles(
  generator: Generator,
  photo: Pixels,
  tile: Size,
  tell: Progress,
): Promise<{ pixels: Pixels; runs: number }> {
  const [overlap, grid] = overlapAndGrid(tile, generator.multiple);
  const picture = reflected(photo, {
    height: Math.max(roundedUp(photo.height, grid), tile.height),
    width: Math.max(roundedUp(photo.width, grid), tile.width),
  });
  const tops = tileStarts(picture.height, tile.height, overlap, grid);
  const lefts = tileStarts(picture.width, tile.width, overlap, grid);
  const down = tileWeights(picture.height, tile.height, tops, overlap);
  const across = tileWeights(picture.width, tile.width, lefts, overlap);
  const runs = tops.length * lefts.length;
  const result = blank(picture);
  const stride = 3 * picture.width;
  const band = new Float32Array(tile.height * stride); // from the row `top` on
  let done = 0;
  tell(done, runs);
  for (const [i, top] of tops.entries()) {
    for (const [j, left] of lefts.entries()) {
      const answer = await generator.run(cropped(picture, { top, left, ...tile }));
      add(answer, band, picture.width, left, down[i]!, across[j]!);
      tell(++done, runs);
    }
    const finished = (tops[i + 1] ?? picture.height) - top; // rows that no later tile reaches
    store(band, result, top, finished);
    band.copyWithin(0, finished * stride);
    band.fill(0, (tile.height - finished) * stride);
  }
  return { pixels: topLeft(result, photo), runs };
}

/** An eighth of a tile, starting at multiples of the stride where tiles allow that. */
function overlapAndGrid(tile: Size, multiple: number): [number, number] {
  const half = Math.floor(Math.min(tile.height, tile.width) / 2);
  const overlap = Math.floor(half / 4);
  const isOnGrid =
    roundedUp(overlap, multiple) <= half &&
    tile.height % multiple === 0 &&
    tile.width % multiple === 0;
  return [overlap, isOnGrid ? multiple : 1];
}

/** Adds a weighted tile to a band, rounding to float32 where NumPy does. */
function add(
  tile: Pixels,
  band: Float32Array,
  width: number,
  left: number,
  down: Float32Array,
  across: Float32Array,
): void {
  let from = 0;
  for (let i = 0; i < tile.height; i++) {
    let to = 3 * (i * width + left);
    for (let j = 0; j < tile.width; j++) {
      const weight = Math.fround(down[i]! * across[j]!);
      for (let c = 0; c < 3; c++) band[to++]! += Math.fround(tile.data[from + c]! * weight);
      from += 4;
    }
  }
}

function store(band: Float32Array, result: Pixels, top: number, rows: number): void {
  let to = 4 * top * result.width;
  for (let from = 0; from < 3 * rows * result.width; from += 3, to += 4) {
    for (let c = 0; c < 3; c++) result.data[to + c] = band[from + c]!;
  }
}

/** The largest part of a photo that has the shape of a size, from its middle. */
function middle(photo: Size, shape: Size): Region {
  const { height, width } = inside(shape, photo);
  const top = Math.floor((photo.height - height) / 2);
  const left = Math.floor((photo.width - width) / 2);
  return { top, left, height, width };
}

/** Scales a size to fill a frame along one side. */
function inside(size: Size, frame: Size): Size {
  const scale = Math.min(frame.height / size.height, frame.width / size.width);
  return { height: side(scale * size.height), width: side(scale * size.width) };
}

const side = (length: number) => Math.max(1, Math.round(length));
const area = ({ height, width }: Size) => height * width;
const sizeOf = ({ height, width }: Size): Size => ({ height, width });
const topLeft = (pixels: Pixels, size: Size) =>
  cropped(pixels, { top: 0, left: 0, ...sizeOf(size) });
const holds = (outer: Size, inner: Size) =>
  inner.height <= outer.height && inner.width <= outer.width;

/** The first of the sizes with the least value; undefined if there are none. */
function least(sizes: readonly Size[], value: (size: Size) => number): Size | undefined {
  const lowest = Math.min(...sizes.map(value));
  return sizes.find((size) => value(size) === lowest);
}
