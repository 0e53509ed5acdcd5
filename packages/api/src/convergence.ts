/** `GET /v1/convergence`: which chassis have something, and whose workers run it. */
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Vector } from "@rhone/state/ledger";
import { CLOCK_MAX } from "@rhone/state/record";
import type { Context } from "hono";
import type { ApiContext } from "./context.ts";
import { problemResponse } from "./problem.ts";
import { readWait } from "./request.ts";
import { addRoute, type Parameter, WAIT_PARAMETERS } from "./routes.ts";
import { convergenceView } from "./views.ts";

/** For the answers of the others, when the request does not say that it waits. */
const LOOK_MS = 500;

const VERSION: Parameter = {
  name: "version",
  in: "query",
  required: false,
  description:
    "What a write was answered with in X-Rhone-Version, such as a:4711; when left out, all that " +
    "the chassis knows.",
  schema: { type: "string" },
};

export function addConvergence(app: OpenAPIHono, context: ApiContext): void {
  addRoute(
    app,
    "get",
    "/v1/convergence",
    {
      summary: "Which chassis have what was written, and whose workers run it",
      query: [VERSION, ...WAIT_PARAMETERS],
      answers: { 200: { description: "What each said", schema: convergenceView } },
    },
    async (c) => {
      const wait = readWait(c, ["version"]);
      if (wait instanceof Response) return wait;
      const vector = readVersion(c, context);
      if (vector instanceof Response) return vector;
      const { level, timeoutMs } = wait;
      const isLook = level === null && c.req.query("timeout") === undefined;
      return c.json(await context.reach(vector, level ?? "applied", isLook ? LOOK_MS : timeoutMs));
    },
  );
}

function readVersion(c: Context, { store }: ApiContext): Vector | Response {
  const text = c.req.query("version");
  if (text === undefined) return store.vector;
  const [, name, clock] = /^([a-z0-9-]{1,63}):([1-9]\d{0,14})$/.exec(text) ?? [];
  if (name !== undefined && Number(clock) <= CLOCK_MAX) return { [name]: Number(clock) };
  return problemResponse("invalid-query", `expected a version such as a:4711, got ${text}`);
}
