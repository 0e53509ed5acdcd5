/** How long something is good, as users write it: `30m`, `1h`, `7d`. */
import { InvalidArgumentError } from "commander";

const UNITS_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Reads a time of up to `daysMax` days; the reader returns milliseconds. */
export function lifeReader(daysMax: number): (word: string) => number {
  return (word) => {
    const [, count, unit] = /^(\d{1,6})([mhd])$/.exec(word) ?? [];
    const lifeMs = Number(count) * (UNITS_MS[unit ?? ""] ?? Number.NaN);
    if (lifeMs > 0 && lifeMs <= daysMax * UNITS_MS["d"]!) return lifeMs;
    throw new InvalidArgumentError(
      `expected a time from 1m to ${daysMax}d, such as 30m, 1h or 2d.`,
    );
  };
}
