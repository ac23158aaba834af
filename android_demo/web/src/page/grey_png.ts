/** Writing PNG files of grey pictures: a canvas writes all of them in colour. */

import { levels, type Pixels } from "../pixels";

export const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const GREY = [8, 0, 0, 0, 0]; // bits, grey, and the only ways to compress, filter and interlace
const UP = 2; // the filter of each row: the difference from the row above

/** A file of 8 bits, one channel; of a picture that has other colours it is the luminance. */
export async function greyPngOf(pixels: Pixels): Promise<Blob> {
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, pixels.width);
  header.setUint32(4, pixels.height);
  GREY.forEach((value, i) => header.setUint8(8 + i, value));
  const packed = new Blob([filtered(pixels)]).stream().pipeThrough(new CompressionStream("deflate"));
  const content = new Uint8Array(await new Response(packed).arrayBuffer());
  const parts = [
    new Uint8Array(SIGNATURE),
    chunk("IHDR", new Uint8Array(header.buffer)),
    chunk("IDAT", content),
    chunk("IEND", new Uint8Array()),
  ];
  return new Blob(parts, { type: "image/png" });
}

function filtered(pixels: Pixels): Uint8Array<ArrayBuffer> {
  const { width, height } = pixels;
  const grey = levels(pixels, 1);
  const rows = new Uint8Array((1 + width) * height);
  for (let i = 0, to = 0; i < height; i++) {
    rows[to++] = UP;
    for (let at = i * width; at < (i + 1) * width; at++) {
      rows[to++] = grey[at]! - (i ? grey[at - width]! : 0); // modulo 256
    }
  }
  return rows;
}

/** Length, name, content and checksum of the last two. */
function chunk(name: string, content: Uint8Array): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(12 + content.length);
  const view = new DataView(result.buffer);
  view.setUint32(0, content.length);
  result.set(new TextEncoder().encode(name), 4);
  result.set(content, 8);
  view.setUint32(8 + content.length, crc32(result.subarray(4, 8 + content.length)));
  return result;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
  return rest;
});

export function crc32(bytes: Uint8Array): number {
  let rest = 0xffffffff;
  for (const byte of bytes) rest = TABLE[(rest ^ byte) & 0xff]! ^ (rest >>> 8);
  return ~rest >>> 0;
}
