import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Script } from "node:vm";
import { loadPage, MODULES } from "./bundle.ts";

const { html } = await loadPage();
const script = /<script type="module">([\s\S]*)<\/script>/.exec(html)?.[1] ?? "";

test("the page's script is one piece of JavaScript without types, imports, exports", () => {
  assert.match(script, /async function run\(\)/);
  assert.doesNotMatch(script, /^(?:import|export|interface|type) /m);
  assert.doesNotThrow(() => new Script(`"use strict"; ${script}`));
});

test("what a module imports is in the script", () => {
  for (const specifier of MODULES) {
    const source = readFileSync(new URL(import.meta.resolve(specifier)), "utf8");
    for (const [, names] of stripTypeScriptTypes(source).matchAll(/^import \{([^}]*)\}/gm)) {
      for (const name of names!.split(",").map((each) => each.trim())) {
        if (name !== "")
          assert.match(script, new RegExp(`^(?:function|const|class) ${name}\\b`, "m"));
      }
    }
  }
});

test("the script cannot end early", () => {
  assert.equal(html.split("</script>").length, 2);
});

test("the page loads nothing from elsewhere", () => {
  const addresses = html.match(/https?:\/\/[^"\s)]+/g) ?? [];
  assert.deepEqual(addresses, ["http://www.w3.org/2000/svg"]); // A name, never fetched.
  assert.doesNotMatch(html, /@import|url\(|\bsrc=/);
});

test("text never becomes markup", () => {
  assert.doesNotMatch(script, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b/);
});

test("every element that the script fills is on the page", () => {
  const ids = [...script.matchAll(/\bshow\("([a-z]+)"/g)].map((match) => match[1]!);
  assert.ok(ids.length > 5);
  for (const id of ids) assert.match(html, new RegExp(`id="${id}"`));
});

test("Deno makes the same page", () => {
  const deno = fileURLToPath(import.meta.resolve("../../../node_modules/.bin/deno"));
  const bundle = JSON.stringify(import.meta.resolve("./bundle.ts"));
  const program = `console.log((await (await import(${bundle})).loadPage()).html)`;
  const args = ["eval", "--no-lock", program];
  const output = execFileSync(deno, args, { encoding: "utf8", timeout: 30_000 });
  assert.equal(output.trimEnd(), html.trimEnd());
});
