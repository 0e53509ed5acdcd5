/** Why what users wrote is not in force at this chassis, in words. Run by the control thread. */
import type { HealthView } from "@rhone/api/context";
import type { CompileError } from "./compile-error.ts";

/** Names in one sentence; of more it says how many. */
const NAMES_MAX = 5;
const PARTIAL =
  "a later version wrote it, or changes that were made at the same time do not fit together";

/** Null when it is in force, or there is no such object. */
export function troubleWith(
  kind: string,
  name: string,
  { culprit }: { readonly culprit: CompileError | null },
  { partials }: { readonly partials: ReadonlySet<string> },
): string | null {
  if (culprit?.kind === kind && culprit.object === name) {
    return `cannot be compiled, so the tables before stay in force: ${causeOf(culprit)}`;
  }
  return partials.has(`${kind}/${name}`) ? `something of it is not in force: ${PARTIAL}` : null;
}

/** For health: whether every document is in force as it was written. */
export function documentsCheck(partials: ReadonlySet<string>): HealthView["checks"][number] {
  const name = "documents";
  if (partials.size === 0) return { name, ok: true, detail: "every document is understood" };
  const some = [...partials].sort().slice(0, NAMES_MAX);
  const names = some.map((key) => key.replace("/", " ")).join(", ");
  const more = partials.size > some.length ? ` and ${partials.size - some.length} more` : "";
  return { name, ok: false, detail: `of ${names}${more} something is not in force: ${PARTIAL}` };
}

function causeOf({ cause }: CompileError): string {
  return (cause as Error).message;
}
