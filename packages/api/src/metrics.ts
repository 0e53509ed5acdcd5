/**
 * The figures of a chassis that are worth an alarm, for Prometheus to collect: `GET /metrics`, in
 * its text format (version 0.0.4). All others are in `/v1/counters` and `/v1/workers`.
 */
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { ApiContext } from "./context.ts";
import { addRoute } from "./routes.ts";

const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

interface Metric {
  readonly name: string;
  readonly type: "gauge" | "counter";
  readonly help: string;
  readonly samples: readonly (readonly [labels: Readonly<Record<string, string>>, value: number])[];
}

export function addMetrics(app: OpenAPIHono, context: ApiContext): void {
  const answers = { 200: { description: "Text, as Prometheus reads it" } };
  addRoute(app, "get", "/metrics", { summary: "Figures for Prometheus", answers }, () => {
    const text = metricsOf(context).map(textOf).join("");
    return new Response(text, { headers: { "content-type": CONTENT_TYPE } });
  });
}

function metricsOf(context: ApiContext): Metric[] {
  const { beginnings, drops, early, connections, stages } = context.counters();
  const { members, knowledgeAgeMs } = context.cluster();
  return [
    {
      ...{ name: "rhone_up", type: "gauge", help: "1 of each check of /healthz that is well." },
      samples: context.health().checks.map(({ name, ok }) => [{ check: name }, ok ? 1 : 0]),
    },
    {
      ...{ name: "rhone_state_age_seconds", type: "gauge" },
      help: "Since this chassis last held all that another one had written; none when never.",
      samples: members.flatMap(({ name, state }) => {
        const ageMs = state?.knowledgeAgeMs ?? null;
        return ageMs === null ? [] : [[{ origin: name }, ageMs / 1000] as const];
      }),
    },
    {
      ...{ name: "rhone_knowledge_age_seconds", type: "gauge" },
      help: "Since it last held all that most chassis held: what maxStaleSeconds are held against.",
      samples: [[{}, knowledgeAgeMs === null ? Number.POSITIVE_INFINITY : knowledgeAgeMs / 1000]],
    },
    {
      ...{ name: "rhone_members", type: "gauge", help: "The other chassis, by their status." },
      samples: ["alive", "suspect", "dead"].map((status) => {
        return [{ status }, members.filter((member) => member.status === status).length];
      }),
    },
    {
      ...{ name: "rhone_dropped_packets_total", type: "counter", help: "By reason." },
      samples: drops.map(({ reason, packets }) => [{ reason }, packets]),
    },
    {
      ...{ name: "rhone_early_packets_total", type: "counter" },
      help: "Packets that came before what they name, by what became of them.",
      samples: (["held", "released", "expired", "refused"] as const).map((outcome) => {
        return [{ outcome }, early[outcome]];
      }),
    },
    {
      ...{ name: "rhone_beginnings_total", type: "counter" },
      help: "Generations that came into force: overdue ones while somebody did not answer.",
      samples: Object.entries(beginnings).map(([outcome, count]) => [{ outcome }, count]),
    },
    {
      ...{ name: "rhone_stage_packets_total", type: "counter", help: "Packets of each stage." },
      samples: stages.map(({ name, packets }) => [{ stage: name }, packets]),
    },
    {
      ...{ name: "rhone_connections", type: "gauge", help: "Connections that are tracked now." },
      samples: [[{}, connections.inUse]],
    },
  ];
}

function textOf({ name, type, help, samples }: Metric): string {
  const lines = samples.map(([labels, value]) => {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
    return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${numberText(value)}`;
  });
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines, ""].join("\n");
}

function numberText(value: number): string {
  return value === Number.POSITIVE_INFINITY ? "+Inf" : String(value);
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
