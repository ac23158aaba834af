/** A photo and its translation on top of each other, parted by a divider. */

import type { Pixels } from "../pixels";
import { element } from "./element";
import { imageOf } from "./photo";

const STEPS: Record<string, number> = {
  ArrowLeft: -1,
  ArrowDown: -1,
  ArrowRight: 1,
  ArrowUp: 1,
  PageDown: -10,
  PageUp: 10,
  Home: -100,
  End: 100,
};

const root = element("comparison", HTMLDivElement);
const before = element("before", HTMLCanvasElement);
const after = element("after", HTMLCanvasElement);
const divider = element("divider", HTMLDivElement);
const afterTag = element("after-tag", HTMLSpanElement);
let place = 50; // of the divider, in percent of the width

/** Listens to pointers and keys; once. */
export function setUpComparison(): void {
  const follow = (event: PointerEvent) => {
    const { left, width } = root.getBoundingClientRect();
    moveTo((100 * (event.clientX - left)) / width);
  };
  root.addEventListener("pointerdown", (event) => {
    if (divider.hidden || event.button !== 0) return;
    event.preventDefault(); // of selecting text
    root.setPointerCapture(event.pointerId);
    divider.focus({ preventScroll: true });
    follow(event);
  });
  root.addEventListener("pointermove", (event) => {
    if (root.hasPointerCapture(event.pointerId)) follow(event);
  });
  divider.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (step === undefined) return;
    event.preventDefault(); // of scrolling
    moveTo(Math.round(place) + step);
  });
}

/** Shows a photo alone, or another picture of a name. */
export function showPhoto(photo: ImageData, name = "Photo"): void {
  draw(before, photo);
  before.ariaLabel = `The ${name.toLowerCase()}`;
  element("before-tag", HTMLSpanElement).textContent = name;
  root.style.setProperty("--aspect", `${photo.width / photo.height}`);
  showParts(false);
  root.hidden = false;
}

/** Shows a translation of the photo's size beside it. */
export function showTranslation(pixels: Pixels): void {
  draw(after, imageOf(pixels));
  showParts(true);
  moveTo(50);
}

export function showStrength(strength: number): void {
  after.style.opacity = `${strength}`;
}

function showParts(isTranslated: boolean): void {
  for (const part of [after, divider, afterTag]) part.hidden = !isTranslated;
}

function draw(canvas: HTMLCanvasElement, image: ImageData): void {
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext("2d")?.putImageData(image, 0, 0);
}

function moveTo(percent: number): void {
  place = Math.min(100, Math.max(0, percent));
  const shown = Math.round(place);
  root.style.setProperty("--place", `${place}%`);
  divider.setAttribute("aria-valuenow", `${shown}`);
  divider.setAttribute("aria-valuetext", `${shown} % photo, ${100 - shown} % translation`);
}
