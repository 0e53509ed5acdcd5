/** Rules of what may import what: tiers, exports maps, declared dependencies. */
import { dirname, join, normalize } from "node:path";
import type { Finding, SourceFile } from "./source.ts";
import { lineAt } from "./source.ts";

export interface Package {
  readonly folder: string;
  readonly exports: Readonly<Record<string, string>>;
  readonly dependencies: readonly string[];
  readonly devDependencies: readonly string[];
}

/** What the table in docs/architecture.md says of a package. */
export interface Row {
  readonly tier: number;
  readonly mayImport: readonly string[];
}

export function readPackage(folder: string, packageJson: string): Package {
  const json = JSON.parse(packageJson);
  return {
    folder,
    exports: json.exports ?? {},
    dependencies: Object.keys(json.dependencies ?? {}),
    devDependencies: Object.keys(json.devDependencies ?? {}),
  };
}

/** Reads rows like "| 1 | `packages/netio` | ports… | rings, wire |"; "–" means nothing. */
export function readTiers(architecture: string): Map<string, Row> {
  const rows = new Map<string, Row>();
  for (const line of architecture.split("\n")) {
    const cells = line.split("|").map((cell) => cell.trim());
    const name = /^`packages\/([a-z-]+)`$/.exec(cells[2] ?? "")?.[1];
    if (name === undefined) continue;
    const mayImport = cells[4]!.split(",").map((cell) => cell.trim());
    rows.set(name, { tier: Number(cells[1]), mayImport: mayImport.filter((cell) => cell !== "–") });
  }
  return rows;
}

/** The table itself: it names every package, and each imports only from lower tiers. */
export function tierTable(rows: Map<string, Row>, packages: readonly Package[]): Finding[] {
  const path = "docs/architecture.md";
  const findings: Finding[] = [];
  for (const { folder } of packages) {
    if (!rows.has(folder))
      findings.push({ path, line: 1, message: `no row for packages/${folder}` });
  }
  for (const [name, row] of rows) {
    for (const other of row.mayImport) {
      const tier = rows.get(other)?.tier;
      if (tier !== undefined && tier < row.tier) continue;
      const message = `${name} (tier ${row.tier}) may import ${other}: not a lower tier`;
      findings.push({ path, line: 1, message });
    }
  }
  return findings;
}

interface Import {
  readonly specifier: string;
  readonly line: number;
}

const IMPORTS = [
  /\bfrom\s+"([^"]+)"/g,
  /^import\s+"([^"]+)"/gm,
  /\bimport\(\s*"([^"]+)"/g,
  /\bnew URL\(\s*"(\.[^"]+)",\s*import\.meta/g,
];

export function importsOf(file: SourceFile): Import[] {
  return IMPORTS.flatMap((pattern) =>
    [...file.code.matchAll(pattern)]
      // A sample of code inside a string is no import.
      .filter((match) => file.bare[match.index] === file.code[match.index])
      .map((match) => ({ specifier: match[1]!, line: lineAt(file.code, match.index) })),
  );
}

function isDevelopment(path: string): boolean {
  return /\.(test|bench)\.ts$/.test(path);
}

/** "@scope/name/module" is module of "@scope/name". */
function splitSpecifier(specifier: string): { name: string; subpath: string } {
  const parts = specifier.split("/");
  const count = specifier.startsWith("@") ? 2 : 1;
  return {
    name: parts.slice(0, count).join("/"),
    subpath: ["."].concat(parts.slice(count)).join("/"),
  };
}

/** What is wrong with one import of a file of `from`, or "". */
function importProblem(
  file: SourceFile,
  specifier: string,
  from: Package,
  packages: ReadonlyMap<string, Package>,
  row: Row,
): string {
  if (specifier.startsWith("node:")) return "";
  const home = `packages/${from.folder}/`;
  if (specifier.startsWith(".")) {
    const target = normalize(join(dirname(file.path), specifier));
    // Data beside the packages, such as a lab file, is no code.
    const isData = !target.startsWith("packages/") && !target.endsWith(".ts");
    const isInside = target.startsWith(home) || isData;
    return isInside ? "" : `the relative import ${specifier} leaves ${home}`;
  }
  const { name, subpath } = splitSpecifier(specifier);
  const folder = name.startsWith("@rhone/") ? name.slice("@rhone/".length) : "";
  if (folder !== "" && !row.mayImport.includes(folder)) {
    return `${from.folder} may not import ${folder} (table of docs/architecture.md)`;
  }
  const isDevelopmentOnly = isDevelopment(file.path) && from.devDependencies.includes(name);
  if (!from.dependencies.includes(name) && !isDevelopmentOnly) {
    return `${name} is not in the dependencies of ${home}package.json`;
  }
  if (folder === "") return "";
  const isExported = packages.get(folder)?.exports[subpath] !== undefined;
  return isExported ? "" : `${specifier} is not in the exports of packages/${folder}/package.json`;
}

export function importRules(
  files: readonly SourceFile[],
  packages: readonly Package[],
  rows: ReadonlyMap<string, Row>,
): Finding[] {
  const byFolder = new Map(packages.map((each) => [each.folder, each]));
  return files.flatMap((file) => {
    const from = byFolder.get(file.path.split("/")[1]!);
    const row = from && rows.get(from.folder);
    if (from === undefined || row === undefined) return [];
    return importsOf(file).flatMap(({ specifier, line }) => {
      const message = importProblem(file, specifier, from, byFolder, row);
      return message === "" ? [] : [{ path: file.path, line, message }];
    });
  });
}

/** Every subpath points to a file that exists, and no file has two. */
export function exportsMaps(packages: readonly Package[], paths: ReadonlySet<string>): Finding[] {
  return packages.flatMap(({ folder, exports }) => {
    const path = `packages/${folder}/package.json`;
    const targets = Object.entries(exports);
    return targets.flatMap(([subpath, target], index) => {
      const messages: string[] = [];
      if (!paths.has(normalize(`packages/${folder}/${target}`))) {
        messages.push(`exports "${subpath}" points to ${target}, which does not exist`);
      }
      if (targets.findIndex(([, other]) => other === target) !== index) {
        messages.push(`exports names ${target} twice`);
      }
      return messages.map((message) => ({ path, line: 1, message }));
    });
  });
}

/** Each npm package has a paragraph in docs/dependencies.md that starts with its name. */
export function dependenciesExplained(names: readonly string[], document: string): Finding[] {
  const path = "docs/dependencies.md";
  return [...new Set(names)]
    .filter((name) => !name.startsWith("@rhone/") && !document.includes(`\n**\`${name}\`**`))
    .map((name) => ({ path, line: 1, message: `no paragraph starts with **\`${name}\`**` }));
}
