/** What can only be read: health, counters, pipeline, peers, chassis. */
import { type OpenAPIHono, z } from "@hono/zod-openapi";
import { allIdentitiesOf } from "@rhone/state/identities";
import { get } from "@rhone/state/state";
import type { ApiContext } from "./context.ts";
import { problemResponse } from "./problem.ts";
import { addRoute, CHASSIS_SCHEMA, type JsonSchema, listOf } from "./routes.ts";
import {
  clusterView,
  countersView,
  healthView,
  identityView,
  peerView,
  stageView,
  workersView,
} from "./views.ts";

export function addInspection(app: OpenAPIHono, context: ApiContext): void {
  addRoute(
    app,
    "get",
    "/healthz",
    {
      summary: "Whether this chassis can do its work",
      answers: {
        200: { description: "It can", schema: healthView },
        503: { description: "Something is missing", schema: healthView },
      },
    },
    (c) => {
      const health = context.health();
      return c.json(health, health.status === "ok" ? 200 : 503);
    },
  );
  addView(app, "/v1/counters", "Counters of this chassis", countersView, () => context.counters());
  addView(app, "/v1/workers", "The workers of this chassis", workersView, () => context.workers());
  const stages = z.array(stageView);
  addView(app, "/v1/pipeline", "The stages of this chassis", stages, () => context.pipeline());
  const peers = z.array(peerView);
  addView(app, "/v1/peers", "Other chassis, as seen here", peers, () => context.peers());
  const identities = "The reserved identities, and the sets of labels that ports have, by number";
  addView(app, "/v1/identities", identities, z.array(identityView), () =>
    allIdentitiesOf(context.store.snapshot().ports),
  );
  const cluster = "The cluster, as seen here";
  addView(app, "/v1/cluster", cluster, clusterView, () => context.cluster());
  addView(app, "/v1/chassis", "All chassis", listOf(CHASSIS_SCHEMA), () =>
    context.store.snapshot().chassis.map(({ value }) => value),
  );
  addRoute(
    app,
    "get",
    "/v1/chassis/{name}",
    { summary: "One chassis", answers: { 200: { description: "It", schema: CHASSIS_SCHEMA } } },
    (c) => {
      const name = c.req.param("name") ?? "";
      const entry = get(context.store.snapshot(), "chassis", name);
      if (entry === undefined) return problemResponse("not-found", `no chassis ${name}`);
      return c.json(entry.value);
    },
  );
}

function addView(
  app: OpenAPIHono,
  path: string,
  summary: string,
  schema: JsonSchema | z.ZodType,
  view: () => object | Promise<object>,
): void {
  const answers = { 200: { description: summary, schema } };
  addRoute(app, "get", path, { summary, answers }, async (c) => c.json(await view()));
}
