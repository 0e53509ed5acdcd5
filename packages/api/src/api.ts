/**
 * The REST API of a chassis, as a Hono application: any server can run it, and tests without one.
 * Run by the control thread. It knows the store and what its context shows, nothing else.
 */
import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { addAccess } from "./access.ts";
import { addActivation } from "./activate.ts";
import { addApply } from "./apply.ts";
import { addAudit } from "./audit.ts";
import type { ApiContext } from "./context.ts";
import { addConvergence } from "./convergence.ts";
import { Gate } from "./gate.ts";
import { addInspection } from "./inspect.ts";
import { addMetrics } from "./metrics.ts";
import { problemResponse } from "./problem.ts";
import { REVISION_HEADER } from "./request.ts";
import { addResources } from "./resources.ts";
import { BEARER, registerSchemas } from "./routes.ts";

const VERSION = "0.1.0";

export function createApi(context: ApiContext): OpenAPIHono {
  const app = new OpenAPIHono();
  const gate = new Gate(context);
  app.use(async (c, next) => {
    gate.attach(c);
    await next();
    if (c.res.headers.has(REVISION_HEADER)) return;
    c.header(REVISION_HEADER, String(context.store.revision));
  });
  registerSchemas(app);
  addInspection(app, context);
  addMetrics(app, context);
  addResources(app, context);
  addActivation(app, context);
  addApply(app, context);
  addConvergence(app, context);
  addAccess(app, context);
  addAudit(app, context);
  app.doc31("/openapi.json", {
    openapi: "3.1.0",
    info: { title: `Rhône chassis ${context.chassisName}`, version: VERSION },
    security: [{ [BEARER]: [] }],
  });
  const { page } = context;
  if (page !== undefined) app.get("/", (c) => c.html(page.html));
  app.notFound((c) => refuseRoute(app, c));
  app.onError((error) => {
    context.onError?.(error);
    return problemResponse("internal", "the request ended in an exception, see the chassis' log");
  });
  return app;
}

/** 405 when the path exists with other methods (RFC 9110 §15.5.6), else 404. */
function refuseRoute(app: OpenAPIHono, c: Context): Response {
  const { method, path } = c.req;
  const allowed = app.routes
    .filter((route) => route.method !== "ALL" && matches(route.path, path))
    .map((route) => route.method);
  if (allowed.length === 0) return problemResponse("not-found", `no route ${path}`);
  const methods = [...new Set(allowed.flatMap((m) => (m === "GET" ? ["GET", "HEAD"] : [m])))];
  const allow = methods.join(", ");
  const detail = `expected ${allow}, got ${method}`;
  return problemResponse("method-not-allowed", detail, { headers: { Allow: allow } });
}

function matches(pattern: string, path: string): boolean {
  const parts = pattern.split("/");
  const names = path.split("/");
  if (parts.length !== names.length) return false;
  return parts.every((part, i) => part === names[i] || (part.startsWith(":") && names[i] !== ""));
}
