/** Rules of size, syntax and words, and of what must not happen in a loop over packets. */
import { dirname, join, normalize } from "node:path";
import type { Finding, FunctionSpan, SourceFile } from "./source.ts";
import { functionsOf, lineAt, loopsOf } from "./source.ts";

const FILE_LINES_MAX = 450;
const FILE_LINES_MEDIAN_MAX = 200;
const FUNCTION_LINES_MAX = 75;
const COLUMNS_MAX = 100;

const isTypeScript = (file: SourceFile) => file.path.endsWith(".ts");
const isTest = (file: SourceFile) => file.path.endsWith(".test.ts");
const lineCount = (text: string) => text.trimEnd().split("\n").length;

/** Every match of `pattern` in `text` of a file, as a finding. */
function matches(file: SourceFile, text: string, pattern: RegExp, message: string): Finding[] {
  return [...text.matchAll(pattern)].map((match) => ({
    path: file.path,
    line: lineAt(text, match.index),
    message: `${message}: ${match[0].trim().slice(0, 60)}`,
  }));
}

export function sizes(file: SourceFile): Finding[] {
  if (!isTypeScript(file)) return [];
  const findings: Finding[] = [];
  const lines = file.text.split("\n");
  if (lineCount(file.text) > FILE_LINES_MAX) {
    const message = `expected at most ${FILE_LINES_MAX} lines, got ${lineCount(file.text)}`;
    findings.push({ path: file.path, line: 1, message });
  }
  for (const [index, line] of lines.entries()) {
    const columns = [...line].length;
    if (columns <= COLUMNS_MAX) continue;
    const message = `expected at most ${COLUMNS_MAX} columns, got ${columns}`;
    findings.push({ path: file.path, line: index + 1, message });
  }
  for (const each of functionsOf(file.bare)) {
    const length = lineCount(file.bare.slice(each.from, each.to));
    // A describe groups tests; what it groups is measured by itself.
    const isGroup = /\bdescribe\([^()]*,\s*$/.test(file.code.slice(0, each.from));
    if (length <= FUNCTION_LINES_MAX || isGroup) continue;
    const message = `expected at most ${FUNCTION_LINES_MAX} lines in ${each.name || "a closure"}`;
    const line = lineAt(file.text, each.from);
    findings.push({ path: file.path, line, message: `${message}, got ${length}` });
  }
  return findings;
}

/** The median length of the packages' own source files, tests not counted. */
export function medianLength(files: readonly SourceFile[]): Finding[] {
  const own = files.filter((file) => isTypeScript(file) && !isTest(file));
  const counts = own.map((file) => lineCount(file.text)).sort((a, b) => a - b);
  const median = counts[counts.length >> 1] ?? 0;
  if (median < FILE_LINES_MEDIAN_MAX) return [];
  const message = `expected a median below ${FILE_LINES_MEDIAN_MAX} lines a file, got ${median}`;
  return [{ path: "packages", line: 1, message }];
}

export function syntax(file: SourceFile): Finding[] {
  if (!isTypeScript(file)) return [];
  const barrel = isTest(file)
    ? []
    : matches(file, file.code, /^export (?:type )?(?:\*|\{).* from .*$/gm, "a re-export");
  return [
    ...barrel,
    ...matches(file, file.bare, /^\s*(?:export )?(?:declare )?(?:const )?enum \w+/gm, "an enum"),
    ...matches(file, file.bare, /^\s*(?:export )?(?:declare )?namespace \w+/gm, "a namespace"),
    ...matches(
      file,
      file.bare,
      /\bconstructor\s*\((?:[^)]*,)?\s*(?:public|private|protected|readonly) \w+/g,
      "a parameter property",
    ),
  ];
}

/** Words that nobody should find. Brackets in the patterns keep them from finding themselves. */
export function words(file: SourceFile): Finding[] {
  const { text } = file;
  return [
    ...matches(file, text, /\b(?:TO[D]O|FIX[M]E|XX[X])\b/g, "unfinished work"),
    ...matches(file, text, /\.\.[/]shared\b/g, "a path outside the repository"),
    ...matches(
      file,
      text,
      /(?<![\w.])[/](?:work|root|tmp[/]bri[e]f)[/]\S*/g,
      "a path of one machine",
    ),
  ];
}

/** Files of `state` and `gossip` that live in real time; the others get it as arguments. */
const ADAPTERS = [
  /\/nats-[\w-]+\.ts$/,
  /\/src\/transport\.ts$/, // setRealTimer, to be handed in.
  /\/identity\/(?:authority|join-client|line)\.ts$/, // Keys and secrets; a limit for a socket.
  /\/three-chassis-smoke\.ts$/,
  /\/simulation\/(?:main|many)\.ts$/, // They measure the simulation, from outside.
];

/**
 * `state` and `gossip` get time and randomness as arguments, so that a simulation can replay them.
 * A method of that name is somebody else's, as `socket.setTimeout` is.
 */
export function pureClock(file: SourceFile): Finding[] {
  if (!/^packages\/(?:state|gossip)\/src\//.test(file.path) || isTest(file)) return [];
  if (ADAPTERS.some((pattern) => pattern.test(file.path))) return [];
  const names = "Date\\.now|Math\\.random|performance\\.now|hrtime|getRandomValues";
  const calls = "set(?:Timeout|Interval)|random(?:Bytes|UUID|Int)";
  const pattern = new RegExp(
    `\\b(?:${names})\\b|\\bnew Date\\(\\s*\\)|(?<![.\\w])(?:${calls})\\(`,
    "g",
  );
  return matches(file, file.bare, pattern, "time or randomness that is no argument");
}

const HOT_FILES = [
  /^packages\/rings\/src\/ring\.ts$/,
  /^packages\/pipeline-stages\/src\/[\w-]+\.ts$/,
  /^packages\/netio\/src\/(?:af-packet|af-xdp|tap|udp-[a-z]+)\.ts$/,
  /^packages\/netio\/src\/(?:outer-headers|xdp-queue|xdp-underlay)\.ts$/,
  /^packages\/netio\/src\/(?:frame-receiver|join|overruns|receive-buffers|segment)\.ts$/,
  /^packages\/dataplane-worker\/src\/run-loop\.ts$/,
];

/**
 * Functions in hot files that run at set-up or for a change and never for a packet, by file.
 * Every `constructor` and `close` is one as well.
 */
export const SET_UP_FUNCTIONS: Readonly<Record<string, readonly string[]>> = {
  "packages/netio/src/af-xdp.ts": ["adoptAfXdp", "openAfXdp", "openQueues", "detach"],
  "packages/netio/src/udp-socket.ts": ["closeTunnelSockets"],
};

const BANNED_IN_LOOPS: readonly (readonly [RegExp, string])[] = [
  [/\b\d[\d_]*n\b|\bBigInt\b/g, "a BigInt"],
  [/\.\.\./g, "a spread"],
  [/\.(?:subarray|slice|map|filter|forEach|entries|keys|values)\(/g, "a call that allocates"],
  [/\bfor\s*(?:await\s*)?\((?:const|let) .*? (?:of|in) /g, "a for-of or for-in"],
  [/\btry\b/g, "a try"],
  [/\bawait\b/g, "an await"],
  [/=>|\bfunction\b/g, "a closure"],
  [/\bnew \w+/g, "a new object"],
];

export function hotLoops(file: SourceFile, setUp = SET_UP_FUNCTIONS): Finding[] {
  if (!HOT_FILES.some((pattern) => pattern.test(file.path))) return [];
  const exempt = ["constructor", "close", ...(setUp[file.path] ?? [])];
  const functions = functionsOf(file.bare);
  const isHot = (at: number) => {
    // Code outside every function runs once, when the module loads.
    const around = functions.filter((each) => each.from <= at && at < each.to);
    return around.length > 0 && !around.some((each) => exempt.includes(each.name));
  };
  const findings: Finding[] = [];
  for (const loop of loopsOf(file.bare)) {
    if (!isHot(loop.from)) continue;
    const body = file.bare.slice(loop.from, loop.to);
    for (const [pattern, what] of BANNED_IN_LOOPS) {
      for (const match of body.matchAll(pattern)) {
        const line = lineAt(file.text, loop.from + match.index);
        findings.push({ path: file.path, line, message: `${what} in a loop over packets` });
      }
    }
  }
  return findings;
}

/** Each exempt function must exist, so that the list cannot outlive what it excuses. */
export function setUpFunctionsExist(
  files: readonly SourceFile[],
  setUp = SET_UP_FUNCTIONS,
): Finding[] {
  return Object.entries(setUp).flatMap(([path, names]) => {
    const file = files.find((each) => each.path === path);
    const functions: FunctionSpan[] = file === undefined ? [] : functionsOf(file.bare);
    return names
      .filter((name) => !functions.some((each) => each.name === name))
      .map((name) => ({ path, line: 1, message: `no function ${name}: take it off the list` }));
  });
}

/** Every drop reason is given to some packet. */
export function dropReasonsUsed(files: readonly SourceFile[]): Finding[] {
  const path = "packages/rings/src/drop-reason.ts";
  const list = files.find((file) => file.path === path);
  const names = [...(list?.code ?? "").matchAll(/\[\s*"([a-z-]+)",/g)].map((match) => match[1]!);
  const users = files.filter((file) => isTypeScript(file) && !isTest(file) && file !== list);
  const used = new Set(
    users.flatMap((file) =>
      [...file.code.matchAll(/\bDROP\["([a-z-]+)"\]/g)].map((match) => match[1]),
    ),
  );
  return names
    .filter((name) => !used.has(name))
    .map((name) => ({ path, line: 1, message: `no packet is ever dropped as ${name}` }));
}

/** Relative links and pictures of a Markdown file lead to something that exists. */
export function links(file: SourceFile, paths: ReadonlySet<string>): Finding[] {
  if (!file.path.endsWith(".md")) return [];
  const patterns = [/\]\(([^)\s]+)\)/g, /\b(?:src|srcset|href)="([^"]+)"/g];
  const prose = file.text.replaceAll(/```[\s\S]*?```/g, (block) => block.replaceAll(/[^\n]/g, " "));
  return patterns.flatMap((pattern) =>
    [...prose.matchAll(pattern)].flatMap((match) => {
      const target = match[1]!.replace(/#.*$/, "");
      if (target === "" || /^[a-z]+:/.test(target)) return [];
      const path = normalize(join(dirname(file.path), target)).replace(/\/$/, "");
      const exists = paths.has(path) || [...paths].some((other) => other.startsWith(`${path}/`));
      const message = `the link ${match[1]} leads nowhere`;
      return exists ? [] : [{ path: file.path, line: lineAt(prose, match.index), message }];
    }),
  );
}
