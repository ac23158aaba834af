/** The page: chooses a photo, a model and a fit, and shows what becomes of them. */

import type { Fit, News, Translation } from "../messages";
import { mixed } from "../pixels";
import { inWords } from "../problem";
import { isSame, type Reading, readingOf } from "../reading";
import { showAbout } from "./about";
import { setUpComparison, showPhoto, showStrength, showTranslation } from "./comparison";
import { chosenModel, showDirections } from "./directions";
import { element } from "./element";
import { chosenInputs, chosenPictures, showInputs } from "./inputs";
import { type Choice, findModels, type Model } from "./models";
import { keepForOffline } from "./offline";
import { imageOf, type Photo, pngOf, readPhoto } from "./photo";
import { send, stop } from "./worker_line";

const MEANINGS: Record<Fit, string> = {
  whole: "The whole photo at the size of the model: even colours, little detail in large photos.",
  crop: "The middle of the photo in the shape of the model; the rest is not translated.",
  tiles: "The photo at its own size in overlapping tiles: all detail, but colours may differ.",
};

const alertBox = element("alert", HTMLDivElement);
const status = element("status", HTMLParagraphElement);
const running = element("running", HTMLDivElement);
const step = element("step", HTMLLabelElement);
const bar = element("bar", HTMLProgressElement);
const translateButton = element("translate", HTMLButtonElement);
const cancelButton = element("cancel", HTMLButtonElement);
const saveButton = element("save", HTMLButtonElement);
const strength = element("strength", HTMLInputElement);
const modelList = element("model", HTMLSelectElement);
const directions = element("directions", HTMLFieldSetElement);
const fits = element("fits", HTMLFieldSetElement);

interface Result {
  /** None: a sampler made the picture. */
  readonly photo: Photo | undefined;
  readonly model: Model;
  readonly translation: Translation;
}

let choices: Choice[] = [];
let photo: Photo | undefined;
let photosTaken = 0;
let result: Result | undefined;
let isBusy = false;
let isChecked = true;

// Photos

async function take(file: File | null | undefined): Promise<void> {
  if (!file) return;
  cancel();
  show(alertBox, "");
  show(status, "Opening the photo.");
  const number = ++photosTaken;
  let read: Photo;
  try {
    read = await readPhoto(file, wantedReading());
  } catch (error) {
    show(status, "");
    return show(alertBox, inWords(error));
  }
  if (number !== photosTaken) return; // another one was chosen meanwhile
  photo = read;
  result = undefined;
  element("empty", HTMLDivElement).hidden = true;
  showPhoto(photo.image);
  refresh();
  if (isSampler()) show(status, "This model takes no photo; choose another one to translate it.");
  else if (chosen()) translate();
  else show(status, "There is no model to translate it with.");
}

function takeFromInputs(): void {
  for (const id of ["pick", "shoot"]) {
    const input = element(id, HTMLInputElement);
    input.addEventListener("change", () => {
      void take(input.files?.[0]);
      input.value = ""; // so that the same file can be chosen again
    });
  }
}

function takeFromDropsAndPastes(): void {
  const stage = element("stage", HTMLElement);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    stage.classList.add("aimed");
  });
  document.addEventListener("dragleave", ({ relatedTarget }) => {
    if (!relatedTarget) stage.classList.remove("aimed");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault(); // of leaving the page for the picture
    stage.classList.remove("aimed");
    void take(event.dataTransfer?.files[0]);
  });
  document.addEventListener("paste", ({ clipboardData }) => void take(clipboardData?.files[0]));
}

// Models

async function listModels(): Promise<void> {
  try {
    const found = await findModels();
    choices = found.choices;
    showRefused(found.problems);
  } catch (error) {
    show(alertBox, inWords(error));
  }
  modelList.replaceChildren(...choices.map(({ title }, i) => new Option(title, `${i}`)));
  modelList.disabled = !choices.length;
  selectModels();
  if (photo && !isBusy) translate(); // it was chosen before there were models
}

/** Offers the directions of the models that are chosen. */
function selectModels(): void {
  showDirections(choices[modelList.selectedIndex]);
  selectModel();
}

/** Offers what the model of the direction that is set takes, and loads it. */
function selectModel(): void {
  const model = chosen();
  showInputs(model?.sidecar, (problem) => {
    show(alertBox, problem);
    refresh();
  });
  refresh();
  if (model) showAbout(model);
  showStage();
  if (!isBusy) prepare();
}

/** Shows the stage for a photo, or for what a sampler makes, once another kind is chosen. */
function showStage(): void {
  const samples = isSampler();
  element("sources", HTMLDivElement).hidden = samples;
  element("fits", HTMLFieldSetElement).hidden = samples;
  translateButton.textContent = samples ? "Make a picture" : "Translate";
  const isOther = samples ? result?.photo : result && !result.photo;
  if (samples && !result) show(status, "Make a picture; it takes no photo.");
  if (!isOther) return;
  result = undefined;
  if (photo) showPhoto(photo.image);
  refresh();
}

function isSampler(): boolean {
  return chosen()?.sidecar.domains.source === null;
}

/** Loads the model before it is needed, also so that it is there when the network is not. */
function prepare(): void {
  const model = chosen();
  if (!model) return;
  show(alertBox, "");
  send({ kind: "prepare", model: model.file }, hear);
}

/** How the chosen model reads photos. */
function wantedReading(): Reading {
  const model = chosen();
  return readingOf(model?.sidecar.value_range, model?.file.signatures[0]!.takenChannels ?? 3);
}

function chosen(): Model | undefined {
  return chosenModel(choices[modelList.selectedIndex]);
}

// Translating

function translate(): void {
  const model = chosen();
  const pictures = chosenPictures();
  if (!model || !(photo || isSampler())) return;
  if (!pictures) return show(status, "This model needs another picture; choose it below.");
  if (photo && !isSampler() && !isSame(photo.reading, wantedReading())) {
    return void take(photo.file); // which translates it
  }
  const fit = fits.querySelector<HTMLInputElement>("input:checked")?.value as Fit;
  const given = { photo: isSampler() ? undefined : photo, model };
  show(alertBox, "");
  setBusy(true);
  showStep("Loading the model");
  const inputs = chosenInputs();
  const task = { model: model.file, photo: given.photo?.image, fit, inputs, pictures };
  send({ kind: "translate", ...task }, (news) => {
    hear(news);
    if (news.kind === "translated") finish({ ...given, translation: news.translation }, news.ms);
  });
}

/** Shows what the worker tells, but a translation. */
function hear(news: News): void {
  if (news.kind === "loading") showStep("Loading the model", news.done / news.total);
  if (news.kind === "ready") isChecked = news.isChecked;
  if (news.kind === "working") {
    if (news.total === 1) showStep(isSampler() ? "Making a picture" : "Translating");
    else showStep(`Translating, ${news.done} of ${news.total} tiles`, news.done / news.total);
  }
  if (news.kind === "failed") {
    setBusy(false);
    show(alertBox, news.message);
  }
}

function finish(made: Result, ms: number): void {
  result = made;
  element("empty", HTMLDivElement).hidden = true;
  if (made.photo) showTranslation(made.translation.pixels);
  else showPhoto(imageOf(made.translation.pixels), "Picture");
  setBusy(false);
  const { size, runs } = made.translation;
  const tiles = runs === 1 ? "" : ` in ${runs} tiles`;
  const time = ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
  const notes = [
    `${made.photo ? "Translated" : "Made"} in ${time} on the CPU (WebAssembly), at ` +
      `${size.width} × ${size.height}${tiles}.`,
    made.photo?.note,
    isChecked ? "" : "The model's SHA-256 was not checked: this page came without https.",
  ];
  show(status, notes.filter(Boolean).join(" "));
}

function cancel(): void {
  if (!isBusy) return;
  stop();
  setBusy(false);
  show(status, "Cancelled.");
}

async function save(): Promise<void> {
  if (!result) return;
  const { photo, model, translation } = result;
  const { pixels } = translation;
  const picture = photo ? mixed(photo.image, pixels, strengthValue()) : pixels;
  const stem = photo ? `${photo.name.replace(/\.[^.]*$/, "")}-` : "";
  try {
    const link = document.createElement("a");
    const channels = model.file.signatures[0]!.madeChannels;
    link.href = URL.createObjectURL(await pngOf(picture, channels));
    link.download = `${stem}${model.sidecar.direction}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // some browsers are slow to take it
  } catch (error) {
    show(alertBox, inWords(error));
  }
}

// What is seen

function strengthValue(): number {
  return Number(strength.value) / 100;
}

function changeStrength(): void {
  show(element("strength-value", HTMLOutputElement), `${strength.value} %`);
  strength.setAttribute("aria-valuetext", `${strength.value} %`);
  showStrength(strengthValue());
}

function changeFit(): void {
  const fit = fits.querySelector<HTMLInputElement>("input:checked")?.value as Fit;
  show(element("fit-meaning", HTMLParagraphElement), MEANINGS[fit]);
}

function setBusy(busy: boolean): void {
  const focused = document.activeElement;
  isBusy = busy;
  refresh();
  if (busy && focused === translateButton) cancelButton.focus();
  if (!busy && focused === cancelButton) translateButton.focus();
}

function refresh(): void {
  translateButton.hidden = isBusy;
  cancelButton.hidden = !isBusy;
  running.hidden = !isBusy;
  if (isBusy) show(status, "");
  translateButton.disabled = !(photo || isSampler()) || !chosen() || !chosenPictures();
  saveButton.disabled = !result || isBusy;
  strength.disabled = !result?.photo || isBusy;
}

/** Shows what is going on, and how much of it is done if that is known. */
function showStep(text: string, done?: number): void {
  show(step, text);
  if (done === undefined) bar.removeAttribute("value");
  else bar.value = done;
}

function showRefused(reasons: string[]): void {
  const models = reasons.length === 1 ? "1 model" : `${reasons.length} models`;
  element("refused", HTMLDetailsElement).hidden = !reasons.length;
  show(element("refused-count", HTMLElement), `${models} cannot run here`);
  show(element("reasons", HTMLParagraphElement), reasons.join("\n"));
}

/** Sets a text; only a change, so that screen readers do not repeat it. */
function show(place: HTMLElement, text: string): void {
  if (place.textContent !== text) place.textContent = text;
}

async function start(): Promise<void> {
  setUpComparison();
  takeFromInputs();
  takeFromDropsAndPastes();
  translateButton.addEventListener("click", translate);
  cancelButton.addEventListener("click", () => {
    cancel();
    prepare();
  });
  saveButton.addEventListener("click", () => void save());
  strength.addEventListener("input", changeStrength);
  modelList.addEventListener("change", selectModels);
  directions.addEventListener("change", selectModel);
  fits.addEventListener("change", changeFit);
  changeStrength(); // browsers restore forms
  changeFit();
  await keepForOffline();
  await listModels();
}

void start();
