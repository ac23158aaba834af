/** Reading PNG files of 16 bits, whose numbers a browser would cut to 8. */

import { type Pixels, type Size, upright } from "../pixels";
import { Problem, reason } from "../problem";
import { type Reading, type Store, storing } from "../reading";
import { crc32, SIGNATURE } from "./grey_png";

/** The largest picture, as of tfi2i.pictures.formats, and the longest side. */
const MOST_PIXELS = 178_000_000;
const LONGEST_SIDE = 65_535;
const HEADER_END = 33; // of the signature and the first chunk
/** Column and row of the first pixel, and steps across and down, of each part of a file. */
const WHOLE = [[0, 0, 1, 1]] as const;
const INTERLACED = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

export interface Read {
  readonly pixels: Pixels;
  /** The size in the file, of whose rows and columns the picture may have a part. */
  readonly stored: Size;
}

interface Header extends Size {
  readonly numbers: 1 | 3;
  readonly hasAlpha: boolean;
  readonly isInterlaced: boolean;
}

interface Content {
  readonly packed: Uint8Array<ArrayBuffer>[];
  /** The numbers of the pixels that are transparent. */
  readonly clear: readonly number[] | undefined;
  readonly orientation: number;
}

/** A file of which something is not as it has to be. */
class Damage extends Error {}

/**
 * The picture in a PNG file of 16 bits a channel, grey or RGB: in the range of a reading, rounded to
 * 8 bits, upright, and on white where it is transparent; undefined: it is another file.
 *
 * Of more pixels than `most`, every second row and column is taken, or every third and so on.
 */
export async function readDeepPng(
  file: Blob,
  name: string,
  { range, isGrey }: Reading,
  most: number,
): Promise<Read | undefined> {
  if (!range) return undefined;
  const start = await bytesOf(file.slice(0, HEADER_END), name);
  if (start.length < HEADER_END || SIGNATURE.some((byte, i) => byte !== start[i])) return undefined;
  if (nameAt(start, 8) === "IHDR" && start[24] !== 16) return undefined;
  try {
    const header = headerOf(start);
    const { height, width } = header;
    if (height * width > MOST_PIXELS || Math.max(height, width) > LONGEST_SIDE) {
      throw new Problem(
        `${name} has ${width} × ${height} pixels, and at most ${MOST_PIXELS / 1e6} million and ` +
          `${LONGEST_SIDE} a side are read; scale it down first.`,
      );
    }
    const content = contentOf(await bytesOf(file, name), header);
    const canvas = new Canvas(header, content, storing(range, isGrey, 1 << 16), most);
    const rows = new Rows(content.packed);
    for (const part of header.isInterlaced ? INTERLACED : WHOLE) {
      await readPart(part, header, rows, canvas);
    }
    await rows.end();
    const turned = content.orientation >= 5 && content.orientation <= 8;
    const stored = turned ? { height: width, width: height } : { height, width };
    return { pixels: upright(canvas.pixels, content.orientation), stored };
  } catch (error) {
    if (!(error instanceof Damage)) throw error;
    throw new Problem(`${name} is damaged or incomplete (${reason(error)}); copy it again.`);
  }
}

async function bytesOf(file: Blob, name: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch (error) {
    throw new Problem(`${name} cannot be read (${reason(error)}); choose it again.`);
  }
}

function headerOf(bytes: Uint8Array<ArrayBuffer>): Header {
  const view = new DataView(bytes.buffer);
  if (nameAt(bytes, 8) !== "IHDR" || view.getUint32(8) !== 13) throw new Damage("it has no header");
  if (!isWhole(bytes, 8, 13)) throw new Damage("the checksum of IHDR is wrong");
  const [width, height] = [view.getInt32(16), view.getInt32(20)];
  const [colours, packing, filters, interlacing] = bytes.subarray(25, 29) as unknown as number[];
  const isKnown = [0, 2, 4, 6].includes(colours!) && !packing && !filters && interlacing! < 2;
  if (!isKnown || width < 1 || height < 1) throw new Damage("its header is wrong");
  const about = { hasAlpha: (colours! & 4) > 0, isInterlaced: interlacing === 1 };
  return { width, height, numbers: colours! & 2 ? 3 : 1, ...about };
}

/** The chunks after the header; a damaged one that is not needed counts as none. */
function contentOf(bytes: Uint8Array<ArrayBuffer>, { numbers, hasAlpha }: Header): Content {
  const view = new DataView(bytes.buffer);
  const packed: Uint8Array<ArrayBuffer>[] = [];
  let clear: number[] | undefined;
  let orientation = 0;
  let isPast = false; // the pixels, so that only their own damage counts
  for (let at = HEADER_END; ; ) {
    const length = at + 8 <= bytes.length ? view.getInt32(at) : -1;
    const name = length < 0 ? "" : nameAt(bytes, at);
    isPast ||= packed.length > 0 && name !== "IDAT";
    const end = at + 12 + length;
    if (length < 0 || end > bytes.length) {
      if (isPast) break;
      throw new Damage(length < 0 && at + 8 <= bytes.length ? "a part has no length" : "it ends");
    }
    if (name === "IEND") break;
    const body = bytes.subarray(at + 8, at + 8 + length);
    const isRight = isWhole(bytes, at, length);
    if (!isRight && /^[A-Z]/.test(name)) {
      if (isPast && name !== "IDAT") break;
      throw new Damage(`the checksum of ${name} is wrong`);
    }
    if (name === "IDAT" && !isPast) packed.push(body);
    if (name === "eXIf" && isRight) orientation = orientationIn(body);
    if (name === "tRNS" && isRight && !hasAlpha && length === 2 * numbers) {
      clear = Array.from({ length: numbers }, (_, i) => view.getUint16(at + 8 + 2 * i));
    }
    at = end;
  }
  if (!packed.length) throw new Damage("it has no pixels");
  return { packed, clear, orientation };
}

function nameAt(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(...bytes.subarray(at + 4, at + 8));
}

/** Whether the chunk at a place has the checksum that it tells. */
function isWhole(bytes: Uint8Array<ArrayBuffer>, at: number, length: number): boolean {
  const told = new DataView(bytes.buffer).getUint32(at + 8 + length);
  return told === crc32(bytes.subarray(at + 4, at + 8 + length));
}

/** The orientation that Exif data tell; 0: none. */
function orientationIn(exif: Uint8Array<ArrayBuffer>): number {
  const view = new DataView(exif.buffer, exif.byteOffset, exif.length);
  if (exif.length < 8 || exif[0] !== exif[1]) return 0;
  const isLittle = exif[0] === 0x49;
  const start = view.getUint32(4, isLittle);
  if (view.getUint16(2, isLittle) !== 42 || start < 8 || start > exif.length - 2) return 0;
  for (let i = 0; i < view.getUint16(start, isLittle); i++) {
    const at = start + 2 + 12 * i;
    if (at + 12 > exif.length) return 0;
    const isShort = view.getUint16(at + 2, isLittle) === 3;
    if (view.getUint16(at, isLittle) === 0x0112 && isShort) return view.getUint16(at + 8, isLittle);
  }
  return 0;
}

/** The bytes that are packed in a file, as many at a time as are wanted. */
class Rows {
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  private known = new Uint8Array();
  private at = 0;

  constructor(packed: Uint8Array<ArrayBuffer>[]) {
    const unpacked = new Blob(packed).stream().pipeThrough(new DecompressionStream("deflate"));
    this.reader = unpacked.getReader();
  }

  async fill(target: Uint8Array): Promise<void> {
    for (let done = 0; done < target.length; ) {
      if (this.at === this.known.length) await this.readOn();
      const part = this.known.subarray(this.at, this.at + target.length - done);
      target.set(part, done);
      this.at += part.length;
      done += part.length;
    }
  }

  async end(): Promise<void> {
    await this.reader.cancel().catch(() => {}); // what follows all pixels does not matter
  }

  private async readOn(): Promise<void> {
    const { value } = await this.reader.read().catch((error: unknown) => {
      throw new Damage(reason(error));
    });
    if (!value) throw new Damage("it ends too early");
    this.known = value as Uint8Array<ArrayBuffer>;
    this.at = 0;
  }
}

async function readPart(
  [x, y, across, down]: readonly [number, number, number, number],
  header: Header,
  rows: Rows,
  canvas: Canvas,
): Promise<void> {
  const columns = Math.ceil((header.width - x) / across);
  const count = Math.ceil((header.height - y) / down);
  if (columns <= 0 || count <= 0) return;
  const step = 2 * (header.numbers + Number(header.hasAlpha));
  const filter = new Uint8Array(1);
  let [row, above] = [new Uint8Array(columns * step), new Uint8Array(columns * step)];
  for (let i = 0; i < count; i++) {
    await rows.fill(filter);
    await rows.fill(row);
    unfilter(filter[0]!, row, above, step);
    canvas.put(row, y + i * down, x, across, step);
    [row, above] = [above, row];
  }
}

/** Adds to each byte of a row what its filter predicts of those before it and above it. */
function unfilter(filter: number, row: Uint8Array, above: Uint8Array, step: number): void {
  if (filter > 4) throw new Damage(`a row has the filter ${filter}`);
  if (!filter) return;
  for (let at = 0; at < row.length; at++) {
    const left = at < step ? 0 : row[at - step]!;
    const up = above[at]!;
    if (filter === 1) row[at]! += left;
    else if (filter === 2) row[at]! += up;
    else if (filter === 3) row[at]! += (left + up) >> 1;
    else row[at]! += nearest(left, up, at < step ? 0 : above[at - step]!);
  }
}

/** That of three neighbours which is nearest to left + up - corner, as Paeth has it. */
function nearest(left: number, up: number, corner: number): number {
  const toLeft = Math.abs(up - corner);
  const toUp = Math.abs(left - corner);
  const toCorner = Math.abs(left + up - 2 * corner);
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

/** The pixels of a file, or some of its rows and columns, as they are decoded. */
class Canvas {
  readonly pixels: Pixels;
  private readonly sample: number;

  constructor(
    private readonly header: Header,
    private readonly content: Content,
    private readonly store: Store,
    most: number,
  ) {
    let sample = 1;
    const side = (length: number) => Math.ceil(length / sample);
    while (side(header.width) * side(header.height) > most) sample++;
    const [height, width] = [side(header.height), side(header.width)];
    this.sample = sample;
    this.pixels = { height, width, data: new Uint8ClampedArray(4 * height * width).fill(255) };
  }

  /** Takes a row of the file; its pixels begin at x, are so far apart, and have `step` bytes. */
  put(row: Uint8Array, y: number, x: number, across: number, step: number): void {
    const { sample } = this;
    if (y % sample) return;
    const start = (y / sample) * this.pixels.width;
    for (let at = 0, column = x; at < row.length; at += step, column += across) {
      if (column % sample === 0) this.putPixel(row, at, 4 * (start + column / sample));
    }
  }

  private putPixel(row: Uint8Array, at: number, to: number): void {
    const { numbers, hasAlpha } = this.header;
    const { data } = this.pixels;
    const number = (i: number) => (row[at + 2 * i]! << 8) | row[at + 2 * i + 1]!;
    if (this.content.clear?.every((one, i) => one === number(i))) return; // it stays white
    const red = number(0);
    if (numbers === 1) this.store(data, to, red, red, red);
    else this.store(data, to, red, number(1), number(2));
    if (!hasAlpha) return;
    const alpha = row[at + 2 * numbers]!; // the upper half, as in Python
    for (let c = 0; c < 3; c++) {
      data[to + c] = Math.floor((data[to + c]! * alpha + 255 * (255 - alpha) + 127) / 255);
    }
  }
}
