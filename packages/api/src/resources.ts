/**
 * `/v1/switches`, `/v1/routers`, `/v1/ports`, `/v1/acls`, `/v1/load-balancers`, `/v1/gateways`:
 * what users write, one by one.
 */
import type { OpenAPIHono } from "@hono/zod-openapi";
import { parseDocument } from "@rhone/state/document";
import { failure, type Problem, problem, type Result } from "@rhone/state/problem";
import type { LiveEntry } from "@rhone/state/record";
import { USER_KINDS, type UserKind } from "@rhone/state/schema";
import { get, list, type State } from "@rhone/state/state";
import type { Context } from "hono";
import { transact } from "./audit.ts";
import type { AclView, ApiContext, InForce } from "./context.ts";
import { gatewayStatusOf } from "./gateway-view.ts";
import { portStatusOf } from "./port-view.ts";
import { problemResponse, refusal, withoutIndex } from "./problem.ts";
import { checkPreconditions, etagOf, finishWrite, readJson, readWait } from "./request.ts";
import { addRoute, documentSchema, listOf, viewSchema } from "./routes.ts";

const PLURALS = {
  ...{ switch: "switches", router: "routers", port: "ports", acl: "acls" },
  "load-balancer": "load-balancers",
  gateway: "gateways",
  dataplane: "dataplanes",
} as const;

export function addResources(app: OpenAPIHono, context: ApiContext): void {
  for (const kind of USER_KINDS) addKind(app, context, kind);
}

function addKind(app: OpenAPIHono, context: ApiContext, kind: UserKind): void {
  const plural = PLURALS[kind];
  const all = `/v1/${plural}`;
  // How a chassis works belongs to that chassis, although users write it at any.
  const one = kind === "dataplane" ? "/v1/chassis/{name}/dataplane" : `${all}/{name}`;
  const schema = viewSchema(kind);
  addRoute(
    app,
    "get",
    all,
    {
      summary: `All ${plural}`,
      answers: { 200: { description: "By name", schema: listOf(schema) } },
    },
    (c) => {
      const state = context.store.snapshot();
      return c.json(list(state, kind).map((entry) => viewOf(state, entry, context)));
    },
  );
  addRoute(
    app,
    "get",
    one,
    { summary: `One ${kind}`, answers: { 200: { description: "It", schema } } },
    (c) => answerOne(c, context, kind, 200),
  );
  addRoute(
    app,
    "put",
    one,
    {
      summary: `Creates or replaces a ${kind}. The path names it: kind and name may be left out`,
      body: documentSchema(kind),
      answers: {
        200: { description: "Replaced, or was so already", schema },
        201: { description: "Created", schema },
      },
    },
    (c) => put(c, context, kind),
  );
  addRoute(
    app,
    "delete",
    one,
    { summary: `Deletes a ${kind}`, answers: { 204: { description: "Deleted" } } },
    (c) => remove(c, context, kind),
  );
}

function answerOne(c: Context, context: ApiContext, kind: UserKind, status: 200 | 201): Response {
  const state = context.store.snapshot();
  const entry = get(state, kind, nameOf(c));
  if (entry === undefined) return notFound(context, kind, nameOf(c));
  return c.json(viewOf(state, entry, context), status, { ETag: etagOf(entry) });
}

async function put(c: Context, context: ApiContext, kind: UserKind): Promise<Response> {
  const wait = readWait(c);
  if (wait instanceof Response) return wait;
  const body = await readJson(c);
  if (body instanceof Response) return body;
  // From here to the commit nothing else runs: what they saw is what is replaced.
  const before = get(context.store.snapshot(), kind, nameOf(c));
  const mismatch = checkPreconditions(c, before);
  if (mismatch !== undefined) return mismatch;
  const document = nameDocument(body.value, kind, nameOf(c));
  if (!document.ok) return refusal(document.error);
  const done = transact(c, context, [{ op: "put", document: document.value }]);
  if (!done.ok) return refusal(withoutIndex(done.error));
  const late = await finishWrite(c, context, done.value, wait);
  return late ?? answerOne(c, context, kind, before === undefined ? 201 : 200);
}

async function remove(c: Context, context: ApiContext, kind: UserKind): Promise<Response> {
  const wait = readWait(c);
  if (wait instanceof Response) return wait;
  const name = nameOf(c);
  const before = get(context.store.snapshot(), kind, name);
  const mismatch = checkPreconditions(c, before);
  if (mismatch !== undefined) return mismatch;
  if (before === undefined) return problemResponse("not-found", `no ${kind} ${name}`);
  const done = transact(c, context, [{ op: "delete", kind, name }]);
  if (!done.ok) return refusal(withoutIndex(done.error));
  return (await finishWrite(c, context, done.value, wait)) ?? c.body(null, 204);
}

function nameOf(c: Context): string {
  return c.req.param("name") ?? "";
}

/** The body with the kind and name of the path, which it may repeat but not contradict. */
function nameDocument(body: unknown, kind: UserKind, name: string): Result<unknown> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    return failure("invalid", [problem("", "an object", body)]);
  }
  const problems: Problem[] = [];
  for (const [field, wanted] of Object.entries({ kind, name })) {
    const got: unknown = Object.hasOwn(body, field) ? Reflect.get(body, field) : wanted;
    if (got !== wanted) problems.push(problem(`/${field}`, `${wanted} as in the path`, got));
  }
  const document = { ...body, kind, name };
  if (problems.length === 0) return { ok: true, value: document };
  const parsed = parseDocument(document);
  return failure("invalid", parsed.ok ? problems : [...problems, ...parsed.error.problems]);
}

/**
 * The document; a port's with what its chassis says of it, a rule's with what it did here, a
 * gateway's with who forwards.
 */
function viewOf(state: State, { value }: LiveEntry, context: ApiContext): object {
  const trouble = context.troubleWith(value.kind, value.name);
  const rest: InForce = trouble === null ? {} : { notInForce: trouble };
  if (value.kind === "acl") {
    return { ...value, hits: context.ruleHits(value.name), ...rest } satisfies AclView & InForce;
  }
  if (value.kind === "gateway") {
    return { ...value, status: gatewayStatusOf(state, value, context), ...rest };
  }
  if (value.kind !== "port") return { ...value, ...rest };
  return { ...value, status: portStatusOf(state, value), ...rest };
}

/** Of a document that cannot be read here it says so. */
function notFound({ troubleWith }: ApiContext, kind: UserKind, name: string): Response {
  const trouble = troubleWith(kind, name);
  const detail = trouble === null ? `no ${kind} ${name}` : `${kind} ${name}: ${trouble}`;
  return problemResponse("not-found", detail);
}
