import assert from "node:assert/strict";
import { test } from "node:test";
import { createMemoryStore } from "@rhone/state/memory-store";
import { contextWith, start } from "./api-fixture.ts";

test("Prometheus gets what is worth an alarm", async (t) => {
  const store = createMemoryStore("a");
  const { cluster, ...context } = contextWith(store);
  const reason = 'what "b" said';
  const drops = [{ reason, text: "", packets: 4 }];
  const call = await start(t, {
    store,
    counters: () => ({ ...context.counters(), drops }),
    cluster: () => {
      const [b] = cluster().members;
      const unheard = { ...b!, nats: { heard: true, hearsUs: false } };
      return { ...cluster(), members: [unheard], knowledgeAgeMs: null };
    },
  });
  const { headers, body } = await call("GET", "/metrics");
  assert.match(headers.get("content-type")!, /^text\/plain; version=0\.0\.4/);
  const lines = (body as string).split("\n");
  for (const line of [
    "# HELP rhone_state_age_seconds " +
      "Since this chassis last held all that another one had written; none when never.",
    "# TYPE rhone_state_age_seconds gauge",
    'rhone_state_age_seconds{origin="b"} 0.012',
    "rhone_knowledge_age_seconds +Inf",
    'rhone_dropped_packets_total{reason="what \\"b\\" said"} 4',
    'rhone_early_packets_total{outcome="released"} 1',
    'rhone_members{status="alive"} 1',
    'rhone_path_up{chassis="b",way="nats-out"} 0',
    'rhone_path_up{chassis="b",way="link"} 1',
    'rhone_refused_total{reason="link-no-member"} 1',
    "# TYPE rhone_refused_total counter",
    'rhone_up{check="workers"} 1',
  ]) {
    assert.ok(lines.includes(line), `${line} in\n${body}`);
  }
  const figure = /^(#.*|\w+(\{\w+="([^"\\]|\\.)*"(,\w+="([^"\\]|\\.)*")*\})? ([\d.]+|\+Inf)|)$/;
  for (const line of lines) assert.match(line, figure);
});

test("Prometheus gets no figure of what there is not", async (t) => {
  const { cluster, ...context } = contextWith(createMemoryStore("a"));
  const call = await start(t, {
    counters: () => ({ ...context.counters(), drops: [] }),
    cluster: () => ({ ...cluster(), members: [], refused: {} }),
  });
  const lines = ((await call("GET", "/metrics")).body as string).split("\n");
  for (const name of ["state_age_seconds", "path_up", "refused_total", "dropped_packets_total"]) {
    assert.ok(lines.some((line) => line.startsWith(`# TYPE rhone_${name} `)));
    assert.deepEqual(
      lines.filter((line) => line.startsWith(`rhone_${name}`)),
      [],
    );
  }
});
