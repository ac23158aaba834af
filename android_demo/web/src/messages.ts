/** Messages between the page and its worker. */

import type { Pixels, Size } from "./pixels";

/** Ways to bring a photo and a model of another size together, as translation.ts says. */
export type Fit = "whole" | "crop" | "tiles";

/** One way to call a model. */
export interface Signature extends Size {
  readonly name: string;
  readonly dtype: "float32" | "uint8";
  /** The shapes of the inputs besides the picture, by name. */
  readonly shapes: Readonly<Record<string, readonly number[]>>;
}

/** Values of the inputs besides the picture, by name, in the order of their shapes. */
export type Inputs = Readonly<Record<string, readonly number[]>>;

/** All that running a model takes. */
export interface ModelFile {
  readonly label: string;
  readonly url: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly multiple: number;
  readonly signatures: readonly Signature[];
}

export type Task =
  | { kind: "prepare"; model: ModelFile }
  | { kind: "translate"; model: ModelFile; photo: Pixels; fit: Fit; inputs: Inputs };

export interface Translation {
  /** The translation, of the photo's size. */
  readonly pixels: Pixels;
  /** The size at which the model ran, and how often. */
  readonly size: Size;
  readonly runs: number;
}

export type News =
  | { kind: "started" }
  | { kind: "loading"; done: number; total: number }
  | { kind: "ready"; isChecked: boolean }
  | { kind: "working"; done: number; total: number }
  | { kind: "translated"; translation: Translation; ms: number }
  | { kind: "failed"; message: string };

/** Tasks are numbered, so that news of one that was given up are not taken for another's. */
export type Numbered<T> = T & { id: number };
