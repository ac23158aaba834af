/** The models that the page offers, from the sidecars that its build lists. */

import type { ModelFile, SecondPicture, Signature } from "../messages";
import { Problem, reason } from "../problem";
import { choicesOf, isPicture, readSidecar, type Sidecar, type Tensor } from "../sidecar";

const FOLDER = "models/";
const LARGEST = 2 ** 30; // bytes; a translator of 8 million weights has 32 million

export interface Model {
  readonly sidecar: Sidecar;
  readonly file: ModelFile;
}

/** The models of one run, format and set of sizes; each has another direction. */
export interface Choice {
  readonly title: string;
  readonly models: readonly Model[];
}

/** The models that can run here, and in words why others cannot. */
export async function findModels(): Promise<{ choices: Choice[]; problems: string[] }> {
  const names = await listed();
  const found = await Promise.allSettled(names.map(readModel));
  const models: Model[] = [];
  const problems: string[] = [];
  for (const one of found) {
    if (one.status === "fulfilled") models.push(one.value);
    else if (one.reason instanceof Problem) problems.push(one.reason.message);
    else throw one.reason;
  }
  return { choices: paired(models), problems };
}

async function listed(): Promise<string[]> {
  const index: unknown = JSON.parse(await text("index.json"));
  const names = (index as { models?: unknown }).models;
  const isList = Array.isArray(names) && names.every((name) => typeof name === "string");
  if (!isList || !names.length) {
    throw new Problem("The page was built without models; run `npm run build -- --models FOLDER`.");
  }
  return names;
}

async function readModel(name: string): Promise<Model> {
  const sidecar = readSidecar(await text(name), name);
  return { sidecar, file: runnable(sidecar) };
}

async function text(name: string): Promise<string> {
  try {
    const response = await fetch(FOLDER + encodeURIComponent(name));
    if (!response.ok) throw new Error(`the server answers ${response.status}`);
    return await response.text();
  } catch (error) {
    throw new Problem(`${FOLDER}${name} cannot be loaded (${reason(error)}).`);
  }
}

/** All that running a model takes, if LiteRT.js can run it. */
function runnable(sidecar: Sidecar): ModelFile {
  const { file, format, size_bytes: bytes, sha256, multiple, domains } = sidecar;
  if (format === "saved_model") {
    throw new Problem(`${file} is a SavedModel, for servers; export another format.`);
  }
  if (bytes > LARGEST) {
    throw new Problem(`${file} has ${bytes} bytes, which is too much for a browser.`);
  }
  const takesPicture = domains.source !== null;
  const signatures = sidecar.signatures.map((signature): Signature => {
    const beside = signature.inputs.slice(takesPicture ? 1 : 0);
    const shapes = Object.fromEntries(beside.map((one) => [one.name, shapeOf(one, file)]));
    const others = beside.filter(isPicture).map((one) => [one.name, secondPicture(one)]);
    const input = takesPicture ? pictures(signature.inputs[0]!, file, "takes") : undefined;
    const made = pictures(signature.outputs[0]!, file, "makes");
    const taken = input ?? made;
    if (made.height !== taken.height || made.width !== taken.width || made.dtype !== taken.dtype) {
      throw new Problem(`${file} gives other pictures than it takes; export it again.`);
    }
    const second = Object.fromEntries(others);
    const { height, width, dtype, channels: takenChannels } = taken;
    const about = { name: signature.name, height, width, dtype, takesPicture, shapes };
    return { ...about, pictures: second, takenChannels, madeChannels: made.channels };
  });
  const url = FOLDER + encodeURIComponent(file);
  return { label: file, url, bytes, sha256, multiple: Math.max(1, multiple), signatures };
}

/** The shape of an input besides the picture, if there are values to choose from. */
function shapeOf(tensor: Tensor, file: string): number[] {
  const { name, kind, dtype, shape } = tensor;
  if (dtype !== "float32" || shape[0] !== 1 || shape.some((side) => side < 1)) {
    throw new Problem(`${file} takes ${dtype} (${shape.join(", ")}) for ${name}; export it again.`);
  }
  if (kind === "picture") {
    refuseOtherChannels(shape, file, "takes");
    if (shape.length === 4 && (shape[3] === 3 || shape[3] === 1)) return shape;
    throw new Problem(
      `${file} takes (${shape.join(", ")}) for ${name}, which is no picture; export it again.`,
    );
  }
  if (choicesOf(tensor).length) return shape;
  throw new Problem(
    `${file} takes ${name} besides the picture, and its sidecar has no presets for it; export it ` +
      "with --bake, or again with this version of tfi2i.",
  );
}

function secondPicture({ range, aspect }: Tensor): SecondPicture {
  return { range: range ?? [-1, 1], isCropped: aspect === "crop" };
}

function pictures(
  { shape, dtype, range }: Tensor,
  file: string,
  does: string,
): Pick<Signature, "height" | "width" | "dtype"> & { channels: number } {
  if (dtype !== "float32" && dtype !== "uint8") {
    throw new Problem(
      `${file} takes and gives ${dtype} values, which LiteRT.js does not support; export it with ` +
        "--io float, which keeps its 8-bit arithmetic inside.",
    );
  }
  const [count, height = 0, width = 0, channels = 0] = shape;
  if (height === -1 || width === -1) {
    throw new Problem(
      `${file} takes pictures of any size, which LiteRT.js does not support; export it with ` +
        "--sizes instead of --dynamic.",
    );
  }
  refuseOtherChannels(shape, file, does);
  const isShown = channels === 3 || channels === 1;
  if (shape.length !== 4 || count !== 1 || !isShown || height < 1 || width < 1) {
    throw new Problem(`${file} takes (${shape.join(", ")}), which is no picture; export it again.`);
  }
  if (range && (range[0] !== 0 || range[1] !== 255)) {
    throw new Problem(`${file} takes ${range.join("..")} instead of 0..255; export it again.`);
  }
  return { height, width, dtype, channels };
}

/** Refuses pictures with alpha or of two bands. */
function refuseOtherChannels(shape: readonly number[], file: string, does: string): void {
  const channels = shape[3];
  if (shape.length !== 4 || (channels !== 2 && channels !== 4)) return;
  throw new Problem(
    `${file} ${does} pictures of ${channels} channels, and this page shows grey and RGB alone; ` +
      "use tfi2i translate.",
  );
}

/** Models that differ in their direction only become one choice. */
function paired(models: Model[]): Choice[] {
  const choices: { key: string; title: string; models: Model[] }[] = [];
  for (const model of models) {
    const { name, run, step, format, io, direction } = model.sidecar;
    const sizes = sizesOf(model);
    const key = JSON.stringify([run, step, format, io, sizes]);
    const lacks = (one: Choice) => one.models.every(({ sidecar: s }) => s.direction !== direction);
    const choice = choices.find((one) => one.key === key && lacks(one));
    if (choice) {
      choice.models.push(model);
      continue;
    }
    const title = `${io === "uint8" ? `${format}, uint8` : format} · ${sizes} · ${run}`;
    const isTaken = choices.some((one) => one.title === title);
    choices.push({ key, title: isTaken ? `${title} · ${name}` : title, models: [model] });
  }
  return choices;
}

/** Such as "64 × 64, 128 × 96". */
export function sizesOf(model: Model): string {
  return model.file.signatures.map(({ height, width }) => `${height} × ${width}`).join(", ");
}
