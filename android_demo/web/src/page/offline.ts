/** Time to wait for a worker that may never take control, as after a forced reload. */
const WAIT_MS = 2000;

/**
 * Sets up the worker that keeps what is loaded, and waits until it sees what is loaded next.
 *
 * Browsers have it only for pages from https: or from the machine itself; others need the network.
 */
export async function keepForOffline(): Promise<void> {
  const container = navigator.serviceWorker;
  if (!container) return;
  const controlled = new Promise<void>((resolve) => {
    container.addEventListener("controllerchange", () => resolve(), { once: true });
    setTimeout(resolve, WAIT_MS);
  });
  try {
    await container.register("service_worker.js");
    if (!container.controller) await controlled;
  } catch {
    // Private windows and settings forbid it; the page works all the same, only not offline.
  }
}
