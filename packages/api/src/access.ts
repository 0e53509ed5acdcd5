/** `/v1/access`: tokens, made and revoked at any chassis and good at all of them. */
import { type OpenAPIHono, z } from "@hono/zod-openapi";
import { ACCESS_MAX, type Access } from "@rhone/state/access";
import { parseValue } from "@rhone/state/document";
import { get } from "@rhone/state/state";
import type { Context } from "hono";
import { transact } from "./audit.ts";
import type { AccessView, ApiContext, GrantedView } from "./context.ts";
import { callerOf } from "./gate.ts";
import { grantSchema, LIFE_DEFAULT_SECONDS } from "./grant.ts";
import { problemResponse, refusal } from "./problem.ts";
import { finishWrite, readJson, readWait } from "./request.ts";
import { addRoute, GRANT_SCHEMA } from "./routes.ts";
import { mintToken } from "./token.ts";
import { accessView, grantedView } from "./views.ts";

export function addAccess(app: OpenAPIHono, context: ApiContext): void {
  addRoute(
    app,
    "get",
    "/v1/access",
    {
      summary: "All tokens, without what is secret",
      answers: { 200: { description: "By name", schema: z.array(accessView) } },
    },
    (c) => c.json(context.store.snapshot().access.map(({ value }) => viewOf(value, context))),
  );
  addRoute(
    app,
    "post",
    "/v1/access",
    {
      summary: "Makes a token. The answer is the only place where it is ever to be seen",
      query: [],
      body: GRANT_SCHEMA,
      answers: { 201: { description: "The token", schema: grantedView } },
    },
    (c) => grant(c, context),
  );
  addRoute(
    app,
    "delete",
    "/v1/access/{name}",
    {
      summary: "Revokes a token",
      query: [],
      answers: { 204: { description: "Revoked here, and elsewhere as soon as it is heard of" } },
    },
    (c) => revoke(c, context),
  );
}

async function grant(c: Context, context: ApiContext): Promise<Response> {
  const wait = readWait(c);
  if (wait instanceof Response) return wait;
  const body = await readJson(c);
  if (body instanceof Response) return body;
  const parsed = parseValue(grantSchema, body.value);
  if (!parsed.ok) return refusal(parsed.error);
  const { name, role, lifeSeconds = LIFE_DEFAULT_SECONDS } = parsed.value;
  const { access } = context.store.snapshot();
  const known = access.find((entry) => entry.name === name)?.value;
  if (known !== undefined && !viewOf(known, context).expired) {
    const detail = `the token ${name} exists: revoke it first, or choose another name`;
    return problemResponse("conflict", detail);
  }
  if (known === undefined && access.length >= ACCESS_MAX) {
    const detail = `expected fewer than ${ACCESS_MAX} tokens, got ${access.length}: revoke some`;
    return problemResponse("conflict", detail);
  }
  const { token, hash } = mintToken(name);
  const now = context.access.wallClock();
  const document: Access = {
    kind: "access",
    ...{ name, role, hash },
    created: new Date(now).toISOString(),
    createdBy: callerOf(c).who,
    expires: new Date(now + lifeSeconds * 1000).toISOString(),
  };
  const done = transact(c, context, [{ op: "put", document }], "chassis");
  if (!done.ok) return refusal(done.error);
  // The token is answered in any case: nobody could ask for it again.
  await finishWrite(c, context, done.value, wait);
  c.header("Cache-Control", "no-store");
  return c.json({ ...viewOf(document, context), token } satisfies GrantedView, 201);
}

async function revoke(c: Context, context: ApiContext): Promise<Response> {
  const wait = readWait(c);
  if (wait instanceof Response) return wait;
  const name = c.req.param("name") ?? "";
  if (get(context.store.snapshot(), "access", name) === undefined) {
    return problemResponse("not-found", `no token ${name}`);
  }
  const done = transact(c, context, [{ op: "delete", kind: "access", name }], "chassis");
  if (!done.ok) return refusal(done.error);
  return (await finishWrite(c, context, done.value, wait)) ?? c.body(null, 204);
}

function viewOf(access: Access, context: ApiContext): AccessView {
  const { name, role, created, createdBy, expires } = access;
  const expired = Date.parse(expires) <= context.access.wallClock();
  return { name, role, created, createdBy, expires, expired };
}
