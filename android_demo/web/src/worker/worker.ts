/** The worker: owns LiteRT and one model, and does one task at a time. */

import type { ModelFile, News, Numbered, Task } from "../messages";
import { inWords } from "../problem";
import { type Opened, openModel, startRuntime } from "./generator";
import { fetchModel } from "./model_file";
import { sample, translate } from "./translation";

const scope = self as unknown as DedicatedWorkerGlobalScope;

interface Current extends Opened {
  model: ModelFile;
  isChecked: boolean;
}

let current: Current | undefined;
let started: Promise<void> | undefined;
let latest = 0;
// Each task waits for the one before it; the ones that were given up by then are left out.
let queue: Promise<void> = Promise.resolve();

scope.onmessage = ({ data: task }: MessageEvent<Numbered<Task>>) => {
  latest = task.id;
  queue = queue.then(() => (task.id === latest ? perform(task) : undefined));
};

async function perform(task: Numbered<Task>): Promise<void> {
  const tell = (news: News, transfer: Transferable[] = []) =>
    scope.postMessage({ id: task.id, ...news }, transfer);
  try {
    await (started ??= startRuntime());
    tell({ kind: "started" });
    const { generator, isChecked } = await open(task.model, tell);
    tell({ kind: "ready", isChecked });
    if (task.kind === "prepare") return;
    const begin = performance.now();
    const translator = generator(task.inputs, task.pictures);
    const working = (done: number, total: number) => tell({ kind: "working", done, total });
    const translation = task.photo
      ? await translate(translator, task.photo, task.fit, working)
      : await sample(translator, working);
    const ms = performance.now() - begin;
    tell({ kind: "translated", translation, ms }, [translation.pixels.data.buffer]);
  } catch (error) {
    tell({ kind: "failed", message: inWords(error) });
  }
}

async function open(model: ModelFile, tell: (news: News) => void): Promise<Current> {
  if (current && current.model.url === model.url && current.model.sha256 === model.sha256) {
    return current;
  }
  current?.close();
  current = undefined;
  const { content, isChecked } = await fetchModel(model, (done) =>
    tell({ kind: "loading", done, total: model.bytes }),
  );
  current = { model, isChecked, ...(await openModel(content, model)) };
  return current;
}
