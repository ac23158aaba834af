"use strict";

// A participant's state is {participant, name, started, finished, votes}; votes is a stack, and its
// length is the place in the participant's order of questions. Questions and methods are numbers
// until the end.

const study = JSON.parse(document.getElementById("study").textContent);
const KEY = `tfi2i-study-${study.id}`;
const MINIMUM = 150; // CSS pixels: where pictures would be smaller to fit the height, the page scrolls
const PAUSE = 300; // milliseconds: sooner is no judgement but the second half of a double click

const find = (id) => document.getElementById(id);
const stage = find("stage");
const choices = find("choices");

let kept = true; // false where the browser refuses to store
let state = load();
let shown = []; // the methods in the order of the screen
let since = null; // when the pictures appeared; null while they load, and then nothing is chosen

function load() {
  try {
    const old = JSON.parse(localStorage.getItem(KEY));
    if (old && Array.isArray(old.votes) && old.votes.length <= study.questions.length) return old;
  } catch {
    kept = false;
  }
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  const participant = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { participant, name: "", started: null, finished: null, votes: [] };
}

function keep() {
  try {
    localStorage.setItem(KEY, JSON.stringify(state));
  } catch {
    kept = false;
  }
}

// 32 bits that differ everywhere between alike texts: FNV-1a, then MurmurHash3's finaliser.
function hash(text) {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

// The numbers below `count`, shuffled: always the same for one seed.
function order(seed, count) {
  const keys = Array.from({ length: count }, (_, i) => hash(`${seed}/${i}`));
  return keys.map((_, i) => i).sort((i, j) => keys[i] - keys[j]);
}

// The number of the question after so many votes; undefined after the last.
function asked(votes) {
  return order(`${study.id}/${state.participant}`, study.questions.length)[votes];
}

function show() {
  const done = state.votes.length === study.questions.length;
  find("welcome").hidden = state.started !== null;
  find("asking").hidden = state.started === null || done;
  find("thanks").hidden = !done;
  find("unkept").hidden = kept;
  if (state.started === null) find("start").focus();
  else if (done) thank();
  else ask();
}

async function ask() {
  const number = asked(state.votes.length);
  const question = study.questions[number];
  const mine = order(`${study.id}/${state.participant}/${number}`, study.methods.length);
  shown = mine;
  since = null;
  find("bar").max = study.questions.length;
  find("bar").value = state.votes.length;
  find("progress").textContent = `${state.votes.length + 1} of ${study.questions.length}`;
  find("back").disabled = state.votes.length === 0;
  find("missing").hidden = true;
  find("input").src = question.input;
  choices.replaceChildren(...shown.map((method, i) => choice(question.choices[method], i)));
  fit();
  find("question").focus({ preventScroll: true });
  scrollTo(0, 0);
  const pictures = Array.from(stage.querySelectorAll("img"), (picture) => picture.decode());
  const loaded = await Promise.all(pictures).then(() => true, () => false);
  if (shown !== mine) return; // meanwhile another question is asked
  find("missing").hidden = loaded;
  if (!loaded) return;
  for (const button of choices.children) button.disabled = false;
  since = performance.now();
  preload();
}

function choice(picture, i) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "choice";
  button.disabled = true;
  button.setAttribute("aria-label", `Choose translation ${i + 1}`);
  const image = new Image();
  image.src = picture;
  image.alt = `Translation ${i + 1}`;
  const caption = document.createElement("span");
  caption.textContent = i + 1;
  button.append(image, caption);
  button.addEventListener("click", () => vote(i));
  return button;
}

function preload() {
  const next = study.questions[asked(state.votes.length + 1)];
  for (const picture of next ? [next.input, ...next.choices] : []) new Image().src = picture;
}

function vote(i) {
  if (since === null || performance.now() - since < PAUSE) return;
  state.votes.push({
    question: asked(state.votes.length),
    chosen: shown[i],
    shown,
    ms: Math.round(performance.now() - since),
    time: new Date().toISOString(),
  });
  if (state.votes.length === study.questions.length) state.finished = new Date().toISOString();
  keep();
  show();
}

function back() {
  if (state.started === null || state.votes.length === 0) return;
  state.votes.pop();
  state.finished = null;
  keep();
  show();
}

function thank() {
  find("votes").value = file();
  find("thanks").querySelector("h1").focus({ preventScroll: true });
  scrollTo(0, 0);
}

function file() {
  const utf8 = (text) => new TextDecoder().decode(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
  const methods = study.methods.map(utf8);
  const { participant, name, started, finished } = state;
  const votes = state.votes.map((one) => ({
    ...one,
    question: study.questions[one.question].name,
    chosen: methods[one.chosen],
    shown: one.shown.map((method) => methods[method]),
  }));
  const { schema, id, title, questions } = study;
  const about = { schema, study: id, title, methods, questions: questions.length };
  return JSON.stringify({ ...about, participant, name, started, finished, votes }, null, 1);
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([file()], { type: "application/json" }));
  link.download = `votes-${state.participant.slice(0, 8)}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

// The largest pictures: the input beside the choices or above them, these in so many columns. To see
// all at once is worth a fifth of the width. Of two that are as good the later has more columns.
function fit() {
  const gap = 16;
  const frame = 20; // a picture's padding and border, both sides
  const count = study.methods.length;
  const below = stage.nextElementSibling.offsetHeight + 28;
  const height = innerHeight - stage.offsetTop - below;
  let best = { worth: 0 };
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    for (const [beside, across, down] of [[true, columns + 1, rows], [false, columns, rows + 1]]) {
      const wide = (stage.clientWidth - gap * (across - 1)) / across - frame;
      const high = (height - gap * (down - 1)) / down - frame - 32; // 32: the caption
      const width = Math.min(wide, (Math.max(high, MINIMUM) * study.width) / study.height);
      const scrolls = width * study.height > high * study.width;
      const worth = scrolls ? 0.8 * width : width;
      if (worth >= best.worth) best = { worth, width, columns, beside };
    }
  }
  // Much enlarged, pictures show their pixels, each as large as the next; less so, they are smoothed.
  const sharp = best.width > 2 * study.width;
  const unit = study.width / devicePixelRatio;
  stage.classList.toggle("sharp", sharp);
  stage.classList.toggle("beside", best.beside);
  stage.style.setProperty("--columns", best.columns);
  stage.style.setProperty("--aspect", `${study.width} / ${study.height}`);
  stage.style.setProperty("--width", `${sharp ? Math.floor(best.width / unit) * unit : best.width}px`);
}

find("begin").addEventListener("submit", (event) => {
  event.preventDefault();
  state.name = find("name").value.trim();
  state.started = new Date().toISOString();
  keep();
  show();
});
find("back").addEventListener("click", back);
find("undo").addEventListener("click", back);
find("save").addEventListener("click", save);
find("votes").addEventListener("focus", (event) => event.target.select());
find("next").addEventListener("click", () => {
  if (!confirm("Have you saved your votes? They are removed from this browser.")) return;
  if (kept) localStorage.removeItem(KEY);
  state = load();
  find("name").value = "";
  show();
});

addEventListener("keydown", (event) => {
  const elsewhere = event.ctrlKey || event.altKey || event.metaKey || event.repeat;
  if (elsewhere || event.target.matches("input, textarea")) return;
  const asking = !find("asking").hidden;
  if (asking && event.key >= "1" && event.key <= String(shown.length)) vote(event.key - 1);
  else if (event.key === "Backspace" || event.key === "ArrowLeft") back();
  else if (!find("welcome").hidden && [" ", "Enter"].includes(event.key) && event.target.id !== "start")
    find("begin").requestSubmit();
  else return;
  event.preventDefault();
});
// Another tab has gone on: votes from the older state here would take the place of the newer ones.
addEventListener("storage", (event) => {
  if (event.key !== KEY) return;
  state = load();
  show();
});
addEventListener("resize", () => find("asking").hidden || fit());
addEventListener("beforeunload", (event) => {
  if (!kept && state.votes.length > 0) event.preventDefault();
});

keep(); // tells at once whether the browser stores, and fixes the participant's id
show();
