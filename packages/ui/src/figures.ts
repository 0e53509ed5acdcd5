/** Amounts and lengths as the page shows them. Run by the browser. */

export const numbers = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
export const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

const oneDigit = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const BIT_RATES = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"];
/** Mean width of a letter, of its size. */
const LETTER_WIDTH = 0.56;

/** "1.2 Mbit/s" */
export function bits(bitsPerSecond: number): string {
  const isNone = bitsPerSecond < 1;
  const step = isNone
    ? 0
    : Math.min(BIT_RATES.length - 1, Math.floor(Math.log10(bitsPerSecond) / 3));
  return `${oneDigit.format(bitsPerSecond / 1000 ** step)}\u00a0${BIT_RATES[step]}`;
}

/** About how many pixels a text of that size takes. */
export function widthOf(content: string, size: number): number {
  return content.length * size * LETTER_WIDTH;
}

/** As much of the beginning as has room in so many pixels. */
export function cut(content: string, width: number, size: number): string {
  if (widthOf(content, size) <= width) return content;
  return `${content.slice(0, Math.floor(width / (size * LETTER_WIDTH)) - 1)}…`;
}
