/** Places of tiles and their weights when blended: the arithmetic of tfi2i.pictures.tiles, to the bit. */

/** Starts of the fewest tiles on a grid that cover an axis and overlap by at least `overlap`. */
export function tileStarts(length: number, tile: number, overlap: number, grid: number): number[] {
  if (length <= tile) return [0];
  const shared = roundedUp(overlap, grid);
  const count = Math.ceil((length - shared) / (tile - shared));
  const last = Math.floor((length - tile) / grid);
  return Array.from({ length: count }, (_, i) => Math.floor((i * last) / (count - 1)) * grid);
}

/**
 * For each tile its weights along an axis; at every place they sum to 1.
 *
 * From each tile to the next a raised-cosine step, half an overlap wide, in the middle of what the
 * two share. A tile's weight is the difference of the steps at its two ends.
 */
export function tileWeights(
  length: number,
  tile: number,
  starts: readonly number[],
  overlap: number,
): Float32Array[] {
  const ramp = Math.max(1, overlap / 2);
  const steps = [new Float64Array(length).fill(1)];
  for (let i = 1; i < starts.length; i++) {
    const middle = (starts[i]! + starts[i - 1]! + tile) / 2;
    const step = Float64Array.from({ length }, (_, place) => {
      const along = Math.min(1, Math.max(0, (place + 0.5 - middle) / ramp + 0.5));
      return (1 - Math.cos(Math.PI * along)) / 2;
    });
    steps.push(step);
  }
  steps.push(new Float64Array(length));
  return starts.map((start, i) => {
    const [rising, falling] = [steps[i]!, steps[i + 1]!];
    return Float32Array.from({ length: tile }, (_, k) => rising[start + k]! - falling[start + k]!);
  });
}

export function roundedUp(length: number, multiple: number): number {
  return Math.ceil(length / multiple) * multiple;
}
