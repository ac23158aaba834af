/** Decoding photos, and writing translations. */

import { isGrey, type Pixels } from "../pixels";
import { Problem } from "../problem";
import { greyPngOf } from "./grey_png";

const MOST_BYTES = 100_000_000;
/** Several canvases and copies of a photo have to fit into a phone's memory. */
const MOST_PIXELS = 16_000_000;

export interface Photo {
  readonly name: string;
  readonly image: ImageData;
  /** Reason why it is smaller than the file's picture, in words. */
  readonly note: string;
}

/** A picture file's content: upright, on white, at most 16 megapixels. */
export async function readPhoto(file: File): Promise<Photo> {
  const name = file.name || "The picture";
  if (file.size > MOST_BYTES) {
    throw new Problem(`${name} has ${megabytes(file.size)}; give one of 100 MB at most.`);
  }
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
  const note = scale < 1 ? `${width} × ${height} pixels were scaled down to ${w} × ${h}.` : "";
  return { name, image: context.getImageData(0, 0, w, h), note };
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
