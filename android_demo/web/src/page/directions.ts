/** The directions that the chosen models have, one of which is set. */

import { element } from "./element";
import type { Choice, Model } from "./models";

const place = element("directions", HTMLFieldSetElement);

/** Offers the directions of a choice; the one that was set stays so if it is among them. */
export function showDirections(choice: Choice | undefined): void {
  const before = set();
  const models = choice?.models ?? [];
  const kept = models.find(({ sidecar }) => sidecar.direction === before) ?? models[0];
  const labels = models.map((model) => radioOf(model, model === kept));
  place.replaceChildren(...place.querySelectorAll("legend"), ...labels);
}

/** The model of the direction that is set. */
export function chosenModel(choice: Choice | undefined): Model | undefined {
  const direction = set();
  return choice?.models.find(({ sidecar }) => sidecar.direction === direction);
}

const set = () => place.querySelector<HTMLInputElement>("input:checked")?.value;

function radioOf({ sidecar }: Model, isSet: boolean): HTMLElement {
  const { direction, domains } = sidecar;
  const label = document.createElement("label");
  const radio = document.createElement("input");
  radio.type = "radio";
  radio.name = "direction";
  radio.value = direction;
  radio.defaultChecked = isSet;
  const seen = document.createElement("span");
  seen.textContent = direction;
  label.append(radio, seen);
  if (domains.source !== null && domains.target !== null) {
    const read = document.createElement("span"); // by screen readers
    read.className = "unseen";
    read.textContent = `from ${domains.source} to ${domains.target}`;
    seen.textContent = `${domains.source} → ${domains.target}`;
    seen.ariaHidden = "true";
    label.append(read);
  }
  return label;
}
