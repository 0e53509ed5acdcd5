/** `POST /v1/ports/{name}/activate`: a port that moves is to be where it goes, at once. */
import type { OpenAPIHono } from "@hono/zod-openapi";
import { get } from "@rhone/state/state";
import type { Context } from "hono";
import { transact } from "./audit.ts";
import type { ApiContext } from "./context.ts";
import { portStatusOf } from "./port-view.ts";
import { problemResponse, refusal, withoutIndex } from "./problem.ts";
import { finishWrite, readWait } from "./request.ts";
import { addRoute, viewSchema } from "./routes.ts";

export function addActivation(app: OpenAPIHono, context: ApiContext): void {
  addRoute(
    app,
    "post",
    "/v1/ports/{name}/activate",
    {
      summary: "Makes a port that moves active where it goes, without waiting for its guest",
      answers: { 200: { description: "The port", schema: viewSchema("port") } },
    },
    (c) => activate(c, context),
  );
}

async function activate(c: Context, context: ApiContext): Promise<Response> {
  const wait = readWait(c);
  if (wait instanceof Response) return wait;
  const name = c.req.param("name") ?? "";
  const port = get(context.store.snapshot(), "port", name)?.value;
  if (port === undefined) return problemResponse("not-found", `no port ${name}`);
  const { migration } = port;
  if (migration === undefined) {
    const detail = `expected a port that moves, but ${name} has no "migration"`;
    return problemResponse("conflict", detail);
  }
  const document = { ...port, migration: { ...migration, activate: true } };
  const done = transact(c, context, [{ op: "put", document }]);
  if (!done.ok) return refusal(withoutIndex(done.error));
  const late = await finishWrite(c, context, done.value, wait);
  if (late !== undefined) return late;
  const state = context.store.snapshot();
  const now = get(state, "port", name)?.value ?? port;
  return c.json({ ...now, status: portStatusOf(state, now) });
}
