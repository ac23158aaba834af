/** Decoding photos, and writing translations. */

import { isGrey, type Pixels, type Size } from "../pixels";
import { Problem } from "../problem";
import { isDeep, type Reading, scaled } from "../reading";
import { readDeepPng } from "./deep_png";
import { greyPngOf } from "./grey_png";

const MOST_BYTES = 100_000_000;
/** Several canvases and copies of a photo have to fit into a phone's memory. */
const MOST_PIXELS = 16_000_000;

export interface Photo {
  readonly name: string;
  readonly file: File;
  readonly reading: Reading;
  readonly image: ImageData;
  /** In words, why it is smaller than the file's picture, and which of its numbers are black. */
  readonly note: string;
}

interface Decoded {
  readonly image: ImageData;
  /** The size in the file. */
  readonly stored: Size;
}

/** A picture file's content, as a model reads it: upright, on white, at most 16 megapixels. */
export async function readPhoto(file: File, reading: Reading): Promise<Photo> {
  const name = file.name || "The picture";
  if (file.size > MOST_BYTES) {
    throw new Problem(`${name} has ${megabytes(file.size)}; give one of 100 MB at most.`);
  }
  const deep = await readDeepPng(file, name, reading, MOST_PIXELS);
  const { image, stored } = deep
    ? { image: imageOf(deep.pixels), stored: deep.stored }
    : await decoded(file, name);
  if (!deep) scaled(image, reading);
  const notes = [sizeNote(stored, image), rangeNote(reading, Boolean(deep))];
  return { name, file, reading, image, note: notes.filter(Boolean).join(" ") };
}

function sizeNote({ height, width }: Size, image: ImageData): string {
  if (height === image.height) return "";
  return `${width} × ${height} pixels were scaled down to ${image.width} × ${image.height}.`;
}

/** Says which numbers of a file are black and white, if the model says so. */
function rangeNote({ range }: Reading, wasDeep: boolean): string {
  if (!range || !(wasDeep || isDeep(range))) return "";
  const [black, white] = range;
  if (wasDeep) {
    return (
      `The numbers in this file were read so that ${black} is black and ${white} is white, as the ` +
      "model expects."
    );
  }
  return (
    `This file was read as 8 bits, 0 to 255, and ${black} to ${white} are black to white to the ` +
    "model. Of more bits, PNG files are read."
  );
}

/** By the browser, which gives 8 bits. */
async function decoded(file: File, name: string): Promise<Decoded> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new Problem(
      `${name} is no picture that this browser can read; give a JPEG, PNG or WebP file.`,
    );
  }
  const { width, height } = bitmap;
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (width * height)));
  const [w, h] = [width, height].map((side) => Math.max(1, Math.floor(side * scale))) as [
    number,
    number,
  ];
  const context = drawing(new OffscreenCanvas(w, h));
  context.fillStyle = "white";
  context.fillRect(0, 0, w, h);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, w, h);
  bitmap.close();
  return { image: context.getImageData(0, 0, w, h), stored: { height, width } };
}

/** A PNG file; a grey one if the picture is to have 1 channel, and has no colours. */
export async function pngOf(pixels: Pixels, channels: number): Promise<Blob> {
  if (channels === 1 && isGrey(pixels)) return greyPngOf(pixels);
  const canvas = new OffscreenCanvas(pixels.width, pixels.height);
  drawing(canvas).putImageData(imageOf(pixels), 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

export function imageOf({ data, width, height }: Pixels): ImageData {
  return new ImageData(data, width, height);
}

export function megabytes(bytes: number): string {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** In memory that can be read: a GPU's would have to be fetched, and rounds on some devices. */
function drawing(canvas: OffscreenCanvas): OffscreenCanvasRenderingContext2D {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) {
    throw new Problem(`There is no memory for ${canvas.width} × ${canvas.height} pixels.`);
  }
  return context;
}
