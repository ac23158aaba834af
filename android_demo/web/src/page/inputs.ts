/** A list to choose from for each of a model's inputs besides the picture. */

import type { Inputs } from "../messages";
import { choicesOf, type Sidecar } from "../sidecar";
import { element } from "./element";

const place = element("inputs", HTMLDivElement);
let shown: Sidecar | undefined;

/** Offers the choices of another model; the first of each is set. */
export function showInputs(sidecar: Sidecar | undefined): void {
  if (sidecar === shown) return;
  shown = sidecar;
  const fields = beside().map((input, i) => {
    const field = document.createElement("div");
    const label = document.createElement("label");
    const list = document.createElement("select");
    field.className = "field";
    list.id = label.htmlFor = `input-${i}`;
    label.textContent = input.name;
    list.append(...choicesOf(input).map(({ name }) => new Option(name)));
    field.append(label, list);
    return field;
  });
  place.replaceChildren(...fields);
}

/** The values that are chosen. */
export function chosenInputs(): Inputs {
  const lists = place.querySelectorAll("select");
  const values = beside().map((input, i) => {
    const choice = choicesOf(input)[lists[i]!.selectedIndex]!;
    return [input.name, choice.values.flat(Number.POSITIVE_INFINITY) as number[]];
  });
  return Object.fromEntries(values);
}

const beside = () => shown?.signatures[0]?.inputs.slice(1) ?? [];
