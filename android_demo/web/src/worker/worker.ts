/** The worker: owns LiteRT and one model, and does one task at a time. */

import type { ModelFile, News, Numbered, Task } from "../messages";
import { inWords } from "../problem";
import { openGenerator, startRuntime } from "./generator";
import { fetchModel } from "./model_file";
import { translate } from "./translation";

const scope = self as unknown as DedicatedWorkerGlobalScope;

interface Opened {
  model: ModelFile;
  isChecked: boolean;
  generator: Awaited<ReturnType<typeof openGenerator>>;
}

let opened: Opened | undefined;
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
    const translation = await translate(generator, task.photo, task.fit, (done, total) =>
      tell({ kind: "working", done, total }),
    );
    const ms = performance.now() - begin;
    tell({ kind: "translated", translation, ms }, [translation.pixels.data.buffer]);
  } catch (error) {
    tell({ kind: "failed", message: inWords(error) });
  }
}

async function open(model: ModelFile, tell: (news: News) => void): Promise<Opened> {
  if (opened && opened.model.url === model.url && opened.model.sha256 === model.sha256) {
    return opened;
  }
  opened?.generator.close();
  opened = undefined;
  const { content, isChecked } = await fetchModel(model, (done) =>
    tell({ kind: "loading", done, total: model.bytes }),
  );
  opened = { model, isChecked, generator: await openGenerator(content, model) };
  return opened;
}
