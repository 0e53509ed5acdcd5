/**
 * The rules of CONTRIBUTING.md that a machine can check, on this repository, and on bad samples
 * that show that each rule can fail.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import {
  dependenciesExplained,
  exportsMaps,
  importRules,
  readPackage,
  readTiers,
  tierTable,
} from "./tidy/imports.ts";
import type { Finding } from "./tidy/source.ts";
import { functionsOf, listFiles, readSource, source } from "./tidy/source.ts";
import * as style from "./tidy/style.ts";

const root = join(import.meta.dirname, "..");
const paths = listFiles(root);
const isText = (path: string) =>
  /\.(?:ts|md|json|ya?ml|html|svg|service|sh)$|(?:^|\/)[\w-]+$/.test(path) &&
  !path.startsWith("build/");
const files = paths
  .filter((path) => isText(path) && path !== "pnpm-lock.yaml")
  .map((path) => readSource(root, path));
const packageSources = files.filter((file) => /^packages\/[\w-]+\/src\/.*\.ts$/.test(file.path));
const packages = paths
  .filter((path) => /^packages\/[\w-]+\/package\.json$/.test(path))
  .map((path) => readPackage(path.split("/")[1]!, readFileSync(join(root, path), "utf8")));
const tiers = readTiers(readFileSync(join(root, "docs/architecture.md"), "utf8"));

function assertNone(findings: readonly Finding[]): void {
  const lines = findings.map(({ path, line, message }) => `${path}:${line}: ${message}`);
  assert.equal(lines.length, 0, `\n${lines.join("\n")}`);
}

function assertFinds(findings: readonly Finding[], ...expected: RegExp[]): void {
  const found = findings.map(({ line, message }) => `${line}: ${message}`).join("\n");
  assert.equal(findings.length, expected.length, found);
  for (const pattern of expected) assert.match(found, pattern);
}

describe("this repository", () => {
  test("imports point down the tiers and at exported modules", () => {
    assertNone([...tierTable(tiers, packages), ...importRules(packageSources, packages, tiers)]);
  });
  test("exports maps name files that exist, each once", () => {
    assertNone(exportsMaps(packages, new Set(paths)));
  });
  test("files, functions and lines keep their limits", () => {
    assertNone([...files.flatMap(style.sizes), ...style.medianLength(packageSources)]);
  });
  test("has no barrels, enums, namespaces or parameter properties", () => {
    assertNone(files.flatMap(style.syntax));
  });
  test("allocates nothing in loops over packets", () => {
    assertNone([
      ...files.flatMap((file) => style.hotLoops(file)),
      ...style.setUpFunctionsExist(files),
    ]);
  });
  test("gives state and gossip their time and randomness as arguments", () => {
    assertNone(files.flatMap(style.pureClock));
  });
  test("has no unfinished work and no path of one machine", () => {
    assertNone(files.flatMap(style.words));
  });
  test("uses every drop reason", () => {
    assertNone(style.dropReasonsUsed(packageSources));
  });
  test("explains every npm dependency", () => {
    const document = readFileSync(join(root, "docs/dependencies.md"), "utf8");
    const { devDependencies } = readPackage("", readFileSync(join(root, "package.json"), "utf8"));
    const names = packages.flatMap((each) => [...each.dependencies, ...each.devDependencies]);
    assertNone(dependenciesExplained([...names, ...devDependencies], document));
  });
  test("has no dead link in its documents", () => {
    assertNone(files.flatMap((file) => style.links(file, new Set(paths))));
  });
});

describe("each rule fails on a bad sample", () => {
  const hot = "packages/rings/src/ring.ts";
  const sample = (text: string, path = "packages/wire/src/sample.ts") => source(path, text);
  const wire = readPackage(
    "wire",
    '{"exports":{"./a":"./src/a.ts"},"dependencies":{"@rhone/rings":""}}',
  );
  const rings = readPackage("rings", '{"exports":{"./pool":"./src/pool.ts"}}');
  const table = readTiers("| 1 | `packages/wire` | w | rings |\n| 0 | `packages/rings` | r | – |");
  const importsFound = (text: string, own = wire) =>
    importRules([sample(text, `packages/${own.folder}/src/sample.ts`)], [wire, rings], table);

  test("an import upwards, of a private module, undeclared, or out of the package", () => {
    assertNone(importsFound('import { a } from "@rhone/rings/pool";\nimport "node:fs";'));
    assertNone(importsFound('// import "@rhone/nothing";\nconst text = `from "elsewhere"`;'));
    const upwards = readPackage("rings", '{"dependencies":{"@rhone/wire":""}}');
    assertFinds(importsFound('import "@rhone/wire/a";', upwards), /may not import wire/);
    assertFinds(importsFound('import "@rhone/rings/inner";'), /not in the exports/);
    assertFinds(importsFound('const a = await import("zod");'), /zod is not in the dependencies/);
    assertFinds(
      importsFound('import type { A } from "../../rings/src/a.ts";'),
      /leaves packages\/wire/,
    );
  });
  test("a tier table that points upwards or forgets a package", () => {
    const wrong = readTiers(
      "| 0 | `packages/wire` | w | rings |\n| 0 | `packages/rings` | r | – |",
    );
    assertFinds(tierTable(wrong, [wire, rings]), /not a lower tier/);
    assertFinds(tierTable(table, [wire, readPackage("new", "{}")]), /no row for packages\/new/);
  });
  test("an exports map with a missing file or a second name", () => {
    const twice = readPackage("wire", '{"exports":{"./a":"./src/a.ts","./b":"./src/a.ts"}}');
    assertFinds(exportsMaps([wire], new Set()), /does not exist/);
    assertFinds(exportsMaps([twice], new Set(["packages/wire/src/a.ts"])), /twice/);
  });
  test("a long file, function or line, and a high median", () => {
    const body = "  a();\n".repeat(74);
    assertNone(style.sizes(sample(`function f(): void {\n${"  a();\n".repeat(73)}}\n`)));
    assertNone(style.sizes(sample(`describe("all", () => {\n${body}});\n`)));
    assertFinds(style.sizes(sample(`function f(): void {\n${body}}\n`)), /75 lines in f, got 76/);
    assertFinds(style.sizes(sample(`a(() => {\n${body}});\n`)), /75 lines in a closure, got 76/);
    assertFinds(style.sizes(sample("a;\n".repeat(451))), /450 lines, got 451/);
    assertFinds(style.sizes(sample(`\n// ${"–".repeat(98)}`)), /^2: .*100 columns, got 101/);
    assertFinds(style.medianLength([sample("a;\n".repeat(200))]), /median below 200/);
  });
  test("a barrel, an enum, a namespace, a parameter property", () => {
    assertFinds(style.syntax(sample('export * from "./a.ts";')), /re-export/);
    assertFinds(style.syntax(sample('export { a } from "./a.ts";')), /re-export/);
    assertFinds(style.syntax(sample("export const enum A {}")), /enum/);
    assertFinds(style.syntax(sample("namespace A {}")), /namespace/);
    const property = "class A {\n  constructor(\n    private readonly a: number,\n  ) {}\n}";
    assertFinds(style.syntax(sample(property)), /parameter property/);
  });
  test("everything that allocates in a loop over packets", () => {
    const loop = (body: string) => `function f(): void {\n  for (;;) {\n    ${body}\n  }\n}\n`;
    const inLoop = (body: string) => style.hotLoops(sample(loop(body), hot));
    assertNone(inLoop("slots[i] = slots[i + 1]! | 0; // new Map, 1n"));
    assertNone(style.hotLoops(sample(loop("a(...b)"), "packages/cli/src/main.ts")));
    assertNone(style.hotLoops(sample("for (const a of b) c(...a);", hot)));
    assertFinds(inLoop("a += 1n;"), /^3: a BigInt/);
    assertFinds(inLoop("a(...b);"), /a spread/);
    assertFinds(inLoop("a.subarray(1);"), /allocates/);
    assertFinds(inLoop("a(() => 1);"), /a closure/);
    assertFinds(inLoop("try { a(); } finally { b(); }"), /a try/);
    assertFinds(inLoop("await a;"), /an await/);
    assertFinds(inLoop("a = new B();"), /a new object/);
    const forOf = sample("function f() {\n  for (const a of b) c(a);\n}", hot);
    assertFinds(style.hotLoops(forOf), /for-of/);
    assertNone(style.hotLoops(forOf, { [hot]: ["f"] }));
    assertFinds(style.setUpFunctionsExist([forOf], { [hot]: ["g"] }), /no function g/);
  });
  test("a clock of its own, unfinished work, a path of one machine", () => {
    const clock = (path: string, text = "const at = Date.now();") => {
      return style.pureClock(sample(text, path));
    };
    assertFinds(clock("packages/state/src/record.ts"), /no argument/);
    assertNone(clock("packages/gossip/src/nats-server.ts"));
    const pure = "packages/gossip/src/puller.ts";
    assertFinds(clock(pure, "setTimeout(a, 5);"), /setTimeout/);
    assertFinds(clock(pure, "const id = randomBytes(8);"), /randomBytes/);
    assertFinds(clock(pure, "if (Math.random() < 0.5) a();"), /Math\.random/);
    assertNone(clock(pure, "socket.setTimeout(5, a); // not Date.now()"));
    assertFinds(style.words(sample(`// ${"TO"}DO: later`)), /unfinished/);
    assertFinds(style.words(sample(`see ../${"shared"}/a.md`)), /outside/);
    assertFinds(style.words(sample(`run ${"/wo"}rk/main/a`)), /one machine/);
  });
  test("an idle drop reason, an unexplained dependency, a dead link", () => {
    const path = "packages/rings/src/drop-reason.ts";
    const list = source(path, 'const REASONS = [\n  ["used", "A."],\n  ["idle", "B."],\n];');
    assertFinds(
      style.dropReasonsUsed([list, sample('drop(DROP["used"]);')]),
      /ever dropped as idle/,
    );
    assertFinds(dependenciesExplained(["zod", "@rhone/wire"], "\n**`yaml`** reads."), /`zod`/);
    const readme = source("docs/a.md", "[b](../b.md) [c](c.md#d) [e](https://example.org/)");
    assertFinds(style.links(readme, new Set(["b.md"])), /c\.md#d leads nowhere/);
  });
});

describe("the light reading of code", () => {
  test("is not misled by strings, templates, comments and regular expressions", () => {
    const text =
      'const a = /["`{]/; // "{\nconst b = `x $\x7bc({ d: "}" })} {`;\nfunction e() {}\n';
    const { bare, code } = source("a.ts", text);
    assert.equal(bare.length, text.length);
    assert.equal(code.length, text.length);
    assert.deepEqual(
      functionsOf(bare).map((each) => each.name),
      ["e"],
    );
  });
  test("finds functions of every kind, and no blocks", () => {
    const text = [
      "export function a<T>(b: () => void): Promise<T> {}",
      "class C {\n  constructor() {}\n  #d(e: number): { f: string } {}\n  get g(): boolean {}\n}",
      "const h = async (i: string) => {};",
      "if (j) {}\nfor (;;) {}\nwhile (k) {}\nswitch (l) {}\ntry {} catch (m) {}\n",
      "const n = { o: p ? (q) : { r } };",
      "s(t => {});",
    ].join("\n");
    const names = functionsOf(source("a.ts", text).bare).map((each) => each.name);
    assert.deepEqual(names, ["a", "constructor", "#d", "g", "h", ""]);
  });
});
