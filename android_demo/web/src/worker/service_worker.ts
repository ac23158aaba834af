/** Keeps what was loaded once, so that the page works offline; the network comes first. */

const scope = self as unknown as ServiceWorkerGlobalScope;
const CACHE = "tfi2i";
/** Files that the browser has loaded before this worker could see it. */
const BEFORE = ["./", "page.css", "page.js"];

scope.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(BEFORE)));
  void scope.skipWaiting();
});

scope.addEventListener("activate", (event) => event.waitUntil(scope.clients.claim()));

scope.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method !== "GET" || new URL(url).origin !== scope.location.origin) return;
  event.respondWith(answer(event));
});

async function answer(event: FetchEvent): Promise<Response> {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(event.request);
    if (response.ok) event.waitUntil(kept(cache, event.request, response.clone()));
    return response;
  } catch (error) {
    const known = await cache.match(event.request);
    if (known) return known;
    throw error;
  }
}

/** A browser without room for it shows the page all the same, only not offline. */
async function kept(cache: Cache, request: Request, response: Response): Promise<void> {
  await cache.put(request, response).catch(() => cache.delete(request));
}
