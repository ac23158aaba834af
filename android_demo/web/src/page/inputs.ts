/** What a model takes besides the photo: lists to choose from, and other pictures. */

import type { Inputs, Pictures } from "../messages";
import { inWords } from "../problem";
import { readingOf } from "../reading";
import { choicesOf, isPicture, type Sidecar, type Tensor } from "../sidecar";
import { element } from "./element";
import { readPhoto } from "./photo";

const place = element("inputs", HTMLDivElement);
let shown: Sidecar | undefined;
let pictures: Record<string, ImageData> = {};

/**
 * Offers the inputs of another model; the first choice of each list is set.
 *
 * `changed` is called when another picture was read, or with a sentence when it could not be.
 */
export function showInputs(
  sidecar: Sidecar | undefined,
  changed: (problem: string) => void,
): void {
  if (sidecar === shown) return;
  shown = sidecar;
  pictures = {};
  const fields = beside().map((input, i) => {
    const field = document.createElement("div");
    field.className = "field";
    field.append(...(isPicture(input) ? picker(input, changed) : list(input, `input-${i}`)));
    return field;
  });
  place.replaceChildren(...fields);
}

/** The values that are chosen. */
export function chosenInputs(): Inputs {
  const lists = place.querySelectorAll("select");
  const values = beside()
    .filter((input) => !isPicture(input))
    .map((input, i) => {
      const choice = choicesOf(input)[lists[i]!.selectedIndex]!;
      return [input.name, choice.values.flat(Number.POSITIVE_INFINITY) as number[]];
    });
  return Object.fromEntries(values);
}

/** The pictures that were read for the inputs that are pictures; undefined: one is missing. */
export function chosenPictures(): Pictures | undefined {
  const isWhole = beside().every((input) => !isPicture(input) || input.name in pictures);
  return isWhole ? pictures : undefined;
}

function list(input: Tensor, id: string): HTMLElement[] {
  const label = document.createElement("label");
  const choices = document.createElement("select");
  choices.id = label.htmlFor = id;
  label.textContent = input.name;
  choices.append(...choicesOf(input).map(({ name }) => new Option(name)));
  return [label, choices];
}

function picker({ name, shape }: Tensor, changed: (problem: string) => void): HTMLElement[] {
  const label = document.createElement("label");
  const input = document.createElement("input");
  const told = document.createElement("output");
  label.className = "button";
  input.type = "file";
  input.accept = "image/*";
  input.className = "unseen";
  label.append(input, `Choose the ${name}`);
  const own = shown;
  input.addEventListener("change", async () => {
    const file = input.files?.[0];
    if (!file) return;
    try {
      // It is such a picture as the model makes.
      const { image } = await readPhoto(file, readingOf(own?.target_range, shape[3]!));
      if (shown !== own) return; // another model was chosen meanwhile
      pictures[name] = image;
      told.textContent = file.name;
      changed("");
    } catch (error) {
      changed(inWords(error));
    }
  });
  return [label, told];
}

const beside = () => {
  const isSampler = shown?.domains.source === null;
  return shown?.signatures[0]?.inputs.slice(isSampler ? 0 : 1) ?? [];
};
