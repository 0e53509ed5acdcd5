/** For tests: the API with a context of plain values, served on loopback, and a client of it. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { createMemoryStore } from "@rhone/state/memory-store";
import type { Store } from "@rhone/state/store";
import { createApi } from "./api.ts";
import type { ApiContext, ProblemView } from "./context.ts";
import { serveApi } from "./serve.ts";

const counts = { rxPackets: 1, rxBytes: 60, txPackets: 2, txBytes: 120, drops: 0 };

const ALIVE = { name: "a", status: "alive", held: true, applied: true, revision: 3 } as const;

/** A context of plain values. No token is asked for. */
export function contextWith(store: Store): ApiContext {
  return {
    chassisName: "a",
    store,
    access: { isTokenRequired: false, wallClock: Date.now },
    counters: () => ({
      chassis: "a",
      workers: [{ index: 0, loops: 9, sleeps: 1, pushed: 3, popped: 3 }],
      stages: [{ number: 0, name: "port-security", packets: 1, batches: 1, drops: 0 }],
      drops: [{ reason: "no-route", text: "The router has no route.", packets: 4 }],
      devices: [{ device: "vm1-0", port: "vm1", worker: 0, ...counts }],
      tunnel: counts,
      connections: {
        ...{ capacity: 256, inUse: 0, inserted: 0, expired: 0, earlyDropped: 0, refused: 0 },
        ...{ pickedUp: 0, arrived: 0, departed: 0 },
      },
      early: { held: 2, released: 1, expired: 1, refused: 0, senders: [] },
      beginnings: { agreed: 3, apart: 0, overdue: 0 },
      compilations: { steps: 2, full: [{ reason: "first", text: "It began.", count: 1 }] },
      messages: [
        {
          ...{ topic: "changes", text: "What was just written." },
          ...{ sent: { messages: 1, bytes: 241 }, received: { messages: 2, bytes: 482 } },
        },
      ],
    }),
    workers: async () => ({
      ...{ chassis: "a", wanted: 1, most: 4, settled: true, workers: [] },
      slots: {
        ...{ total: 9, free: 9, returning: 0, waiting: 0, early: 0, lent: 0, inRings: 0 },
        ...{ withNobody: 0, unaccounted: 0 },
      },
    }),
    troubleWith: () => null,
    ruleHits: (name) => name.length,
    pipeline: () => [{ number: 8, name: "post-routing", job: "crosses", resumable: true }],
    health: () => ({ status: "ok", checks: [{ name: "workers", ok: true, detail: "2 run" }] }),
    peers: () => [
      { name: "b", address: "192.168.100.2", connected: true, lastSeenMs: 12, revision: 3 },
    ],
    cluster: () => ({
      ...{
        chassis: "a",
        joined: true,
        doubt: 0,
        revision: 3,
        knowledgeAgeMs: 12,
        refused: { "link-no-member": 1 },
      },
      nats: { layout: "mesh", role: "mesh", hubs: [] },
      members: [
        {
          ...{ name: "b", address: "192.168.100.2", status: "alive" },
          ...{ statusAgeMs: 900, heardAgeMs: 12 },
          nats: { heard: true, hearsUs: true },
          link: { up: true, detail: "" },
          state: { same: true, revision: 3, ageMs: 12, knowledgeAgeMs: 12 },
        },
      ],
    }),
    mayWrite: async () => {},
    reach: async (vector, level) => ({ level, reached: true, vector, chassis: [ALIVE] }),
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // Whatever the API said; the assertions tell what it must be.
  // biome-ignore lint/suspicious/noExplicitAny: the answer of a server
  readonly body: any;
}

export type Client = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
) => Promise<Answer>;

/** A served API and a client of it. A body that is text is sent as it is. */
export async function start(t: TestContext, changes: Partial<ApiContext> = {}): Promise<Client> {
  const context = { ...contextWith(createMemoryStore("a")), ...changes };
  const served = await serveApi(createApi(context), { host: "127.0.0.1", port: 0 });
  t.after(() => served.close());
  return async (method, path, body, headers = {}) => {
    const type = body === undefined ? {} : { "content-type": "application/json" };
    const sent = typeof body === "string" ? body : JSON.stringify(body);
    const response = await fetch(served.address + path, {
      method,
      headers: { ...type, ...headers },
      body: sent ?? null,
    });
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.includes("json") ?? false;
    const { status } = response;
    const answer = isJson && method !== "HEAD" ? JSON.parse(text) : text;
    return { status, headers: response.headers, body: answer };
  };
}

/** Asserts that `answer` is a problem of that status, and returns its errors' pointers. */
export function pointersOf(answer: Answer, status: number): string[] {
  const body: ProblemView = answer.body;
  assert.equal(answer.status, status, JSON.stringify(body));
  assert.equal(answer.headers.get("content-type"), "application/problem+json");
  assert.equal(body.status, status);
  assert.match(body.type, /^urn:rhone:problem:[a-z-]+$/);
  assert.ok(body.title.length > 0 && body.detail.length > 0);
  for (const error of body.errors ?? []) assert.ok(error.expected !== "" && error.got !== "");
  return (body.errors ?? []).map(({ pointer }) => pointer);
}
