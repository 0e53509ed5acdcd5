/**
 * The address and port that a connection's packets are translated to: five words beside its entry,
 * which mean something while it has the flag TRANSLATED or REVERSE. Run by the bucket's owner.
 *
 *   word 0 … 3 address    4 port    5 … 7 nothing
 */
import * as memory from "./connection-memory.ts";

const PORT = 4;

const { words, translationsAt } = memory.installedConnections();

/** `address` is four words, IPv4 as ::ffff:a.b.c.d. */
export function set(entry: number, address: Int32Array, port: number): void {
  const at = translationsAt + entry * memory.TRANSLATION_WORDS;
  for (let i = 0; i < 4; i++) words[at + i] = address[i]!;
  words[at + PORT] = port;
}

/** Copies the address to four words and returns the port. */
export function copyTo(entry: number, address: Int32Array): number {
  const at = translationsAt + entry * memory.TRANSLATION_WORDS;
  for (let i = 0; i < 4; i++) address[i] = words[at + i]!;
  return words[at + PORT]!;
}

/** Whether that is what the entry is translated to. */
export function is(entry: number, address: Int32Array, port: number): boolean {
  const at = translationsAt + entry * memory.TRANSLATION_WORDS;
  for (let i = 0; i < 4; i++) if (words[at + i] !== address[i]) return false;
  return words[at + PORT] === port;
}
