/** Messages between the page and its worker. */

import type { Pixels, Size } from "./pixels";

/** Ways to bring a photo and a model of another size together, as translation.ts says. */
export type Fit = "whole" | "crop" | "tiles";

/** One way to call a model. */
export interface Signature extends Size {
  readonly name: string;
  readonly dtype: "float32" | "uint8";
  /** False: a sampler's, whose pictures have this size. */
  readonly takesPicture: boolean;
  /** Of the pictures that go in and that come out: 3 for RGB, 1 for grey. */
  readonly takenChannels: number;
  readonly madeChannels: number;
  /** The shapes of the inputs besides the picture, by name. */
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  /** How other pictures become inputs, by the input's name. */
  readonly pictures: Readonly<Record<string, SecondPicture>>;
}

/** An input that is a picture: the values that stand for 0 and 255, and whether it is cropped. */
export interface SecondPicture {
  readonly range: readonly [number, number];
  readonly isCropped: boolean;
}

/** Values of the inputs besides the picture, by name, in the order of their shapes. */
export type Inputs = Readonly<Record<string, ArrayLike<number>>>;

/** Pictures for the inputs that are some, by name. */
export type Pictures = Readonly<Record<string, Pixels>>;

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
  | {
      kind: "translate";
      model: ModelFile;
      /** None for a sampler, which takes no fit either. */
      photo: Pixels | undefined;
      fit: Fit;
      inputs: Inputs;
      pictures: Pictures;
    };

export interface Translation {
  /** The translation, of the photo's size; or what a sampler made. */
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
