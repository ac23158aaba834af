/** Running a model with LiteRT.js, on the CPU. */

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";
import type { Inputs, ModelFile, Pictures, SecondPicture, Signature } from "../messages";
import { cropped, levels, type Pixels, pictured } from "../pixels";
import { Problem, reason } from "../problem";
import { resized } from "./resizing";
import type { Generator } from "./translation";

/** The names of the picture that goes in and of the one that comes out, in every signature. */
const INPUT = "image";
const OUTPUT = "translation";

/** Lines that LiteRT wrote while opening or running a model; its last error is why that failed. */
const journal: string[] = [];

/** Starts LiteRT, once in the life of a worker. */
export async function startRuntime(): Promise<void> {
  const write = (line: string) => {
    journal.push(line);
  };
  // Emscripten's hooks; without them every start fills the console.
  Object.assign(self, { Module: { print: write, printErr: write } });
  const warn = console.warn;
  console.warn = () => {}; // LiteRT.js asks for a GPU in any case, and warns where there is none
  try {
    await loadLiteRt("./");
  } catch (error) {
    throw new Problem(
      `LiteRT does not start in this browser (${reason(error)}); try one with WebAssembly SIMD.`,
    );
  } finally {
    console.warn = warn;
  }
}

/** A model ready to run. */
export interface Opened {
  /** It with values for the inputs besides the picture, the same for all pictures. */
  generator(inputs: Inputs, pictures: Pictures): Generator;
  close(): void;
}

export async function openModel(content: Uint8Array, model: ModelFile): Promise<Opened> {
  const compiled = await explained(model.label, "opened", () =>
    loadAndCompile(content, { accelerator: "wasm" }),
  );
  const missing = model.signatures.find(({ name }) => !(name in compiled.signatures));
  if (missing) {
    throw new Problem(`${model.label} lacks the signature ${missing.name}; export it again.`);
  }
  const run = async (pixels: Pixels | undefined, inputs: Inputs) => {
    const { height, width } = pixels ?? model.signatures[0]!;
    const signature = model.signatures.find((one) => one.height === height && one.width === width)!;
    const given: Record<string, Tensor> = {};
    try {
      if (pixels) {
        const shape = [1, height, width, signature.takenChannels];
        given[INPUT] = new Tensor(packed(pixels, signature), shape);
      }
      for (const [name, shape] of Object.entries(signature.shapes)) {
        given[name] = new Tensor(new Float32Array(inputs[name]!), [...shape]);
      }
      const outputs = await compiled.run(signature.name, given);
      const values = (await outputs[OUTPUT]?.data()) ?? [];
      for (const output of Object.values(outputs)) output.delete();
      return unpacked(values, signature, model.label);
    } finally {
      for (const tensor of Object.values(given)) tensor.delete();
    }
  };
  return {
    generator: (inputs, pictures) => {
      const given = { ...inputs, ...asInputs(pictures, model.signatures[0]!) };
      return {
        sizes: model.signatures,
        makesGrey: model.signatures[0]!.madeChannels === 1,
        multiple: model.multiple,
        run: (pixels) => explained(model.label, "run", () => run(pixels, given)),
      };
    },
    close: () => compiled.delete(),
  };
}

/** 0..255 in the channels and the type that a signature takes. */
function packed(pixels: Pixels, { dtype, takenChannels }: Signature) {
  const values = levels(pixels, takenChannels);
  return dtype === "uint8" ? values : new Float32Array(values);
}

/** The values of pictures besides the first one, scaled to the size that a signature takes. */
function asInputs(pictures: Pictures, { shapes, pictures: about }: Signature): Inputs {
  const values = Object.entries(pictures).map(([name, pixels]) => {
    const [, height = 0, width = 0, channels = 3] = shapes[name]!;
    const square = about[name]!.isCropped ? centre(pixels) : pixels;
    return [name, rescaled(levels(resized(square, { height, width }), channels), about[name]!)];
  });
  return Object.fromEntries(values);
}

/** The square in the middle of a picture. */
function centre(pixels: Pixels): Pixels {
  const side = Math.min(pixels.height, pixels.width);
  const [top, left] = [pixels.height, pixels.width].map((whole) => Math.floor((whole - side) / 2));
  return cropped(pixels, { top: top!, left: left!, height: side, width: side });
}

/** Levels in a range, rounded to float32 where NumPy does. */
function rescaled(values: Uint8Array, { range: [low, high] }: SecondPicture): Float32Array {
  return Float32Array.from(values, (level) => Math.fround(level / (255 / (high - low))) + low);
}

function unpacked(values: ArrayLike<number>, like: Signature, label: string): Pixels {
  if (values.length !== like.madeChannels * like.height * like.width) {
    throw new Problem(`${label} gives pictures of another size than it takes; export it again.`);
  }
  for (let k = 0; k < values.length; k++) {
    if (!Number.isFinite(values[k])) {
      throw new Problem(`${label} gives values that are not finite; export it again.`);
    }
  }
  return pictured(values, like, like.madeChannels);
}

/** Gives what `act` gives; what LiteRT throws becomes a sentence. */
async function explained<T>(label: string, done: string, act: () => Promise<T>): Promise<T> {
  journal.length = 0;
  try {
    return await act();
  } catch (error) {
    if (error instanceof Problem) throw error;
    const written = journal.findLast((line) => line.startsWith("ERROR"));
    throw new Problem(
      `${label} cannot be ${done} by LiteRT (${reason(written ?? error)}); export it again.`,
    );
  }
}
