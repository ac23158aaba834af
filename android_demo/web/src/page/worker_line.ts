/** The line to the worker: starts it when there is a task, and ends it when one is given up. */

import type { News, Numbered, Task } from "../messages";

/** LiteRT has 9 MB and starts within seconds; a browser in which it hangs says nothing. */
const START_SECONDS = 90;

let worker: Worker | undefined;
let patience: ReturnType<typeof setTimeout> | undefined;
let latest = 0;

/** Gives the worker a task; only news of the latest one are told. */
export function send(task: Task, tell: (news: News) => void): void {
  worker ??= started(tell);
  worker.onmessage = ({ data: { id, ...news } }: MessageEvent<Numbered<News>>) => {
    clearTimeout(patience);
    if (id === latest) tell(news as News);
  };
  worker.postMessage({ ...task, id: ++latest });
}

/** Ends the worker: what WebAssembly computes cannot be interrupted otherwise. */
export function stop(): void {
  clearTimeout(patience);
  worker?.terminate();
  worker = undefined;
}

function started(tell: (news: News) => void): Worker {
  const fail = (message: string) => {
    stop();
    tell({ kind: "failed", message });
  };
  const made = new Worker("worker.js");
  made.onerror = () => fail("The part of this page that runs models fails; load the page again.");
  patience = setTimeout(
    () => fail(`LiteRT did not start within ${START_SECONDS} s; try another browser.`),
    START_SECONDS * 1000,
  );
  return made;
}
