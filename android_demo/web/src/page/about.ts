/** A model's sidecar, told to people. */

import { element } from "./element";
import { type Model, sizesOf } from "./models";
import { megabytes } from "./photo";

export function showAbout(model: Model): void {
  const { sidecar } = model;
  const { agreement } = sidecar;
  const rows: [string, string][] = [
    ["File", `${sidecar.file}, ${megabytes(sidecar.size_bytes)}`],
    ["Format", `${sidecar.format}, ${sidecar.io} in and out`],
    ["Direction", sidecar.direction],
    ["Sizes", sizesOf(model)],
    ["Pictures", coloursOf(model)],
    ["Trained", `${sidecar.system} on ${sidecar.data}, ${sidecar.step} steps`],
    ["Run", sidecar.run],
    ["Agreement", agreement ? agreementText(agreement) : "not measured"],
    ["Licence", sidecar.licence ?? "not given"],
    ...sidecar.warnings.map((warning): [string, string] => ["Mind", warning]),
  ];
  const parts = rows.flatMap(([term, text]) => [made("dt", term), made("dd", text)]);
  element("about", HTMLDListElement).replaceChildren(...parts);
}

/** Such as "grey to RGB". */
function coloursOf({ file }: Model): string {
  const { takesPicture, takenChannels, madeChannels } = file.signatures[0]!;
  const ends = takesPicture ? [takenChannels, madeChannels] : [madeChannels];
  return ends.map((channels) => (channels === 1 ? "grey" : "RGB")).join(" to ");
}

function agreementText(agreement: NonNullable<Model["sidecar"]["agreement"]>): string {
  const { psnr_db_mean: mean, psnr_db_worst: worst, passed } = agreement;
  const decibels = (value: number | null) => (value === null ? "∞" : value.toFixed(1));
  const verdict = passed ? "" : "; below its limits";
  const figures = `${decibels(mean)} dB with the trained network, worst ${decibels(worst)} dB`;
  return `PSNR ${figures}${verdict}`;
}

function made(tag: "dt" | "dd", text: string): HTMLElement {
  const one = document.createElement(tag);
  one.textContent = text;
  return one;
}
