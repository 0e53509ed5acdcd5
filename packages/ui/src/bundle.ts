/**
 * Makes the page one self-contained HTML text. Run by the control thread, once, when a chassis
 * starts: the modules' types are stripped as Node and Deno do it themselves, and they become one
 * script. So there is nothing to build and nothing that the page loads from elsewhere.
 */
import { readFile } from "node:fs/promises";
import { stripTypeScriptTypes } from "node:module";

/** Each after those that it imports; their top-level names must differ. */
export const MODULES = [
  "@rhone/state/text",

  "./dom.ts",
  "./figures.ts",
  "./token.ts",
  "./topology.ts",
  "./page.ts",
];
const PLACE = "/* script */";

export async function loadPage(): Promise<{ html: string }> {
  const [html, ...modules] = await Promise.all(["./index.html", ...MODULES].map(read));
  const script = modules.map(toScript).join("\n");
  // A function, because a replacement string has its own meaning of "$&".
  return { html: html!.replace(PLACE, () => script) };
}

function read(specifier: string): Promise<string> {
  return readFile(new URL(import.meta.resolve(specifier)), "utf8");
}

/**
 * A module without types, without its imports of the others, and with its exports as plain names.
 */
function toScript(source: string): string {
  return stripTypeScriptTypes(source)
    .replace(/^import [^;]*;$/gm, "")
    .replace(/^export (?=(?:async )?function |const |class )/gm, "")
    .replace(/\n\s*\n+/g, "\n")
    .trim();
}
