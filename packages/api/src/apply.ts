/** `POST /v1/apply`: many documents, one transaction. */
import type { OpenAPIHono } from "@hono/zod-openapi";
import { failure, problem } from "@rhone/state/problem";
import { isLive, keyOf } from "@rhone/state/record";
import { type Document, USER_KINDS } from "@rhone/state/schema";
import { get } from "@rhone/state/state";
import type { Context } from "hono";
import { transact } from "./audit.ts";
import type { ApiContext, AppliedView } from "./context.ts";
import { gateOf } from "./gate.ts";
import { KIND_NEEDS } from "./needs.ts";
import { refusal } from "./problem.ts";
import { finishWrite, readJson, readWait } from "./request.ts";
import { addRoute, documentSchema } from "./routes.ts";
import { applyView } from "./views.ts";

export function addApply(app: OpenAPIHono, context: ApiContext): void {
  addRoute(
    app,
    "post",
    "/v1/apply",
    {
      summary: "Creates or replaces all documents of a list in one transaction, or none",
      body: { type: "array", items: { oneOf: USER_KINDS.map(documentSchema) } },
      answers: {
        200: { description: "What became of each, in the same order", schema: applyView },
      },
    },
    (c) => apply(c, context),
  );
}

async function apply(c: Context, context: ApiContext): Promise<Response> {
  const wait = readWait(c);
  if (wait instanceof Response) return wait;
  const body = await readJson(c);
  if (body instanceof Response) return body;
  if (!Array.isArray(body.value)) {
    return refusal(failure("invalid", [problem("", "a list of documents", body.value)]).error);
  }
  const documents: unknown[] = body.value;
  const before = context.store.snapshot();
  const forbidden = checkKinds(c, documents);
  if (forbidden !== undefined) return forbidden;
  const done = transact(
    c,
    context,
    documents.map((document) => ({ op: "put", document })),
  );
  if (!done.ok) return refusal(done.error);
  const { revision, entries } = done.value;
  const changed = new Set(entries.filter(isLive).map(keyOf));
  // The store took them: they are documents.
  const results = (documents as Document[]).map(({ kind, name }): AppliedDocument => {
    if (!changed.has(keyOf({ kind, name }))) return { kind, name, result: "unchanged" };
    const isNew = get(before, kind, name) === undefined;
    return { kind, name, result: isNew ? "created" : "updated" };
  });
  const late = await finishWrite(c, context, done.value, wait);
  return late ?? c.json({ revision, documents: results } satisfies AppliedView);
}

/** The answer when the list has a document of a kind that the caller may not write. */
function checkKinds(c: Context, documents: readonly unknown[]): Response | undefined {
  const present = documents.map((document) => (document as Partial<Document> | null)?.kind);
  for (const kind of USER_KINDS) {
    if (!present.includes(kind)) continue;
    const forbidden = gateOf(c).require(c, KIND_NEEDS[kind], `a document of kind ${kind}`);
    if (forbidden !== undefined) return forbidden;
  }
  return undefined;
}

type AppliedDocument = AppliedView["documents"][number];
