/** What a case says of its figures. */

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Throws RangeError when there are no figures. */
export function summarize(figures: readonly number[]): Summary {
  if (figures.length === 0) throw new RangeError("expected at least one figure, got none");
  const sorted = figures.toSorted((a, b) => a - b);
  const middle = sorted.length >>> 1;
  const isOdd = sorted.length % 2 === 1;
  const median = isOdd ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, min: sorted[0]!, max: sorted.at(-1)! };
}

/** The value below which `part` (0–1) of the figures lie. */
export function percentile(figures: readonly number[], part: number): number {
  const sorted = figures.toSorted((a, b) => a - b);
  const index = Math.min(sorted.length - 1, Math.floor(sorted.length * part));
  return sorted[index] ?? Number.NaN;
}

/** Three significant digits, without an exponent. */
export function format(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 6));
}
