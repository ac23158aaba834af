/** Fetching a model and comparing it with what its sidecar says. */

import type { ModelFile } from "../messages";
import { Problem, reason } from "../problem";

const AGAIN = "copy the model and its sidecar again, or export the model again.";

/** A model's bytes, and whether their SHA-256 was compared. */
export async function fetchModel(
  model: ModelFile,
  tell: (done: number) => void,
): Promise<{ content: Uint8Array<ArrayBuffer>; isChecked: boolean }> {
  const content = new Uint8Array(model.bytes);
  let done = 0;
  for await (const part of parts(model)) {
    if (done + part.length <= content.length) content.set(part, done);
    done += part.length;
    if (done > content.length) break; // whatever it is, it is not the model
    tell(done);
  }
  if (done !== content.length) {
    const has = done > content.length ? "more" : `${done}`;
    throw new Problem(
      `${model.label} has ${has} bytes and its sidecar says ${model.bytes}; ${AGAIN}`,
    );
  }
  // Browsers have it only for pages from https: or from the machine itself.
  if (!self.isSecureContext) return { content, isChecked: false };
  const sha256 = hexadecimal(await crypto.subtle.digest("SHA-256", content));
  if (sha256 !== model.sha256) {
    throw new Problem(
      `${model.label} has the SHA-256 ${sha256.slice(0, 12)}… and its sidecar says ` +
        `${model.sha256.slice(0, 12)}…; ${AGAIN}`,
    );
  }
  return { content, isChecked: true };
}

async function* parts({ url, label }: ModelFile): AsyncGenerator<Uint8Array> {
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  try {
    const response = await fetch(url);
    if (!response.ok || !response.body) throw new Error(`the server answers ${response.status}`);
    reader = response.body.getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) yield part.value;
  } catch (error) {
    throw new Problem(`${label} cannot be loaded (${reason(error)}).`);
  } finally {
    await reader?.cancel();
  }
}

function hexadecimal(bytes: ArrayBuffer): string {
  const digits = Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0"));
  return digits.join("");
}
