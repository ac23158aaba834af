/** An error that a user can cause or mend, in a sentence to show; any other is a fault of ours. */
export class Problem extends Error {}

/** Returns the text to show for anything that was thrown. */
export function inWords(error: unknown): string {
  if (error instanceof Problem) return error.message;
  return `This page failed, which should not happen: ${reason(error)}`;
}

/** The first line of an error's message, for use inside a sentence. */
export function reason(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.trim().split("\n")[0]!.slice(0, 200);
}
