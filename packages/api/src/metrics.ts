/**
 * The figures of a chassis that are worth an alarm, for Prometheus to collect: `GET /metrics`. All
 * others are in `/v1/counters` and `/v1/workers`.
 *
 * They are counted elsewhere, and read when somebody asks: each answer has a registry of its own.
 */
import type { OpenAPIHono } from "@hono/zod-openapi";
import { Counter, Gauge, Registry } from "prom-client";
import type { ApiContext, ClusterView } from "./context.ts";
import { gatewayStatusOf } from "./gateway-view.ts";
import { addRoute } from "./routes.ts";

type Samples = readonly (readonly [labels: Readonly<Record<string, string>>, value: number])[];

export function addMetrics(app: OpenAPIHono, context: ApiContext): void {
  const answers = { 200: { description: "Text, as Prometheus reads it" } };
  addRoute(app, "get", "/metrics", { summary: "Figures for Prometheus", answers }, async () => {
    const registry = new Registry();
    addChassis(registry, context);
    addCluster(registry, context.cluster());
    addGateways(registry, context);
    const headers = { "content-type": registry.contentType };
    return new Response(await registry.metrics(), { headers });
  });
}

function addChassis(registry: Registry, context: ApiContext): void {
  const { beginnings, drops, early, connections, stages } = context.counters();
  gauge(
    registry,
    { name: "rhone_up", labelNames: ["check"], help: "1 of each check of /healthz that is well." },
    context.health().checks.map(({ name, ok }) => [{ check: name }, Number(ok)]),
  );
  counter(
    registry,
    { name: "rhone_dropped_packets_total", labelNames: ["reason"], help: "By reason." },
    drops.map(({ reason, packets }) => [{ reason }, packets]),
  );
  counter(
    registry,
    {
      name: "rhone_early_packets_total",
      labelNames: ["outcome"],
      help: "Packets that came before what they name, by what became of them.",
    },
    (["held", "released", "expired", "refused"] as const).map((outcome) => {
      return [{ outcome }, early[outcome]];
    }),
  );
  counter(
    registry,
    {
      name: "rhone_beginnings_total",
      labelNames: ["outcome"],
      help: "Generations that came into force: apart or overdue ones not with all at once.",
    },
    Object.entries(beginnings).map(([outcome, count]) => [{ outcome }, count]),
  );
  counter(
    registry,
    { name: "rhone_stage_packets_total", labelNames: ["stage"], help: "Packets of each stage." },
    stages.map(({ name, packets }) => [{ stage: name }, packets]),
  );
  gauge(
    registry,
    { name: "rhone_connections", labelNames: [], help: "Connections that are tracked now." },
    [[{}, connections.inUse]],
  );
}

/** As every chassis has it: an alarm needs to ask one of them only. */
function addGateways(registry: Registry, context: ApiContext): void {
  const state = context.store.snapshot();
  const statuses = state.gateways.map(({ name, value }) => {
    return [{ gateway: name }, gatewayStatusOf(state, value, context)] as const;
  });
  gauge(
    registry,
    {
      name: "rhone_gateway_forwards",
      labelNames: ["gateway"],
      help: "1 when a member forwards for it, 0 when none does.",
    },
    statuses.map(([labels, { active }]) => [labels, Number(active !== null)]),
  );
  gauge(
    registry,
    {
      name: "rhone_gateway_epoch",
      labelNames: ["gateway"],
      help: "Grows each time that another member begins to forward.",
    },
    statuses.map(([labels, { epoch }]) => [labels, epoch]),
  );
}

function addCluster(registry: Registry, cluster: ClusterView): void {
  const { members, knowledgeAgeMs, doubt, refused } = cluster;
  gauge(
    registry,
    {
      name: "rhone_state_age_seconds",
      labelNames: ["origin"],
      help: "Since this chassis last held all that another one had written; none when never.",
    },
    members.flatMap(({ name, state }) => {
      const ageMs = state?.knowledgeAgeMs ?? null;
      return ageMs === null ? [] : [[{ origin: name }, ageMs / 1000] as const];
    }),
  );
  gauge(
    registry,
    {
      name: "rhone_knowledge_age_seconds",
      labelNames: [],
      help: "Since it last held all that most chassis held: what maxStaleSeconds are held against.",
    },
    [[{}, knowledgeAgeMs === null ? Number.POSITIVE_INFINITY : knowledgeAgeMs / 1000]],
  );
  gauge(
    registry,
    { name: "rhone_members", labelNames: ["status"], help: "The other chassis, by their status." },
    ["alive", "suspect", "dead"].map((status) => {
      return [{ status }, members.filter((member) => member.status === status).length];
    }),
  );
  gauge(
    registry,
    {
      name: "rhone_path_up",
      labelNames: ["chassis", "way"],
      help: "1 of each way to or from another chassis that works: nats-in, nats-out, link; else 0.",
    },
    members.flatMap(({ name, nats, link }) => {
      const ways = { "nats-in": nats.heard, "nats-out": nats.hearsUs, link: link?.up ?? null };
      return Object.entries(ways).flatMap(([way, isUp]) => {
        return isUp === null ? [] : [[{ chassis: name, way }, Number(isUp)] as const];
      });
    }),
  );
  gauge(
    registry,
    {
      ...{ name: "rhone_doubt", labelNames: [] },
      help: "0 to 7: how much the chassis doubts its own view of who lives.",
    },
    [[{}, doubt]],
  );
  counter(
    registry,
    {
      name: "rhone_refused_total",
      labelNames: ["reason"],
      help: "Messages, connections and requests of others that were refused, by reason.",
    },
    Object.entries(refused).map(([reason, count]) => [{ reason }, count]),
  );
}

interface Metric {
  readonly name: string;
  readonly help: string;
  /** Of every sample; with none there is one sample. */
  readonly labelNames: string[];
}

function gauge(registry: Registry, metric: Metric, samples: Samples): void {
  const made = new Gauge({ ...metric, registers: [registry] });
  for (const [labels, value] of samples) made.set(labels, value);
}

/** A count that is kept elsewhere. */
function counter(registry: Registry, metric: Metric, samples: Samples): void {
  const made = new Counter({ ...metric, registers: [registry] });
  for (const [labels, value] of samples) made.inc(labels, value);
}
