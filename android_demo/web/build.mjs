// Builds the page: `node build.mjs --models FOLDER [--out FOLDER]`, or `npm run build -- ...`.
import { cp, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";

const here = path.dirname(fileURLToPath(import.meta.url));
const RUNTIME = path.join(here, "node_modules/@litertjs/core/wasm");
// With and without relaxed SIMD; the builds with threads and with JSPI are not used.
const RUNTIMES = ["litert_wasm_internal", "litert_wasm_compat_internal"];

async function main() {
  const { values } = parseArgs({
    options: { models: { type: "string" }, out: { type: "string" } },
  });
  if (!values.models) throw new Error("say where the models are: --models FOLDER");
  const names = await modelNames(values.models);
  const out = path.resolve(values.out ?? path.join(here, "dist"));
  if (values.out) await requireEmpty(out);
  else await rm(out, { recursive: true, force: true });
  await mkdir(path.join(out, "models"), { recursive: true });
  await bundle(out);
  for (const name of ["index.html", "page.css"]) {
    await cp(path.join(here, "src", name), path.join(out, name));
  }
  for (const file of RUNTIMES.flatMap((name) => [`${name}.js`, `${name}.wasm`])) {
    await cp(path.join(RUNTIME, file), path.join(out, file));
  }
  for (const file of names.flatMap((name) => [`${name}.json`, `${name}.tflite`])) {
    await cp(path.join(values.models, file), path.join(out, "models", file));
  }
  const index = { models: names.map((name) => `${name}.json`) };
  await writeFile(path.join(out, "models/index.json"), `${JSON.stringify(index, null, 2)}\n`);
  console.log(`${out}: the page with ${names.length} models; serve it with`);
  console.log(`python3 -m http.server --directory ${out}`);
}

/** The names of the .tflite files of a folder that have a sidecar beside them. */
async function modelNames(folder) {
  const files = new Set(await readdir(folder));
  const names = [...files]
    .filter((file) => file.endsWith(".tflite"))
    .map((file) => file.slice(0, -".tflite".length))
    .filter((name) => files.has(`${name}.json`));
  if (!names.length) throw new Error(`${folder} has no NAME.tflite with its NAME.json beside it`);
  return names.sort();
}

async function requireEmpty(folder) {
  const files = await readdir(folder).catch(() => []);
  if (files.length) throw new Error(`${folder} is not empty; name another folder`);
}

async function bundle(outdir) {
  await build({
    absWorkingDir: here,
    entryPoints: ["src/page/page.ts", "src/worker/worker.ts", "src/worker/service_worker.ts"],
    entryNames: "[name]",
    outdir,
    bundle: true,
    minify: true,
    // Not modules: LiteRT.js loads its runtime with importScripts, which module workers lack.
    format: "iife",
    target: "es2022",
    charset: "utf8",
    logLevel: "warning",
  });
}

try {
  await main();
} catch (error) {
  console.error(`The page is not built: ${error.message}.`);
  process.exitCode = 1;
}
