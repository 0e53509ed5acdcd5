import assert from "node:assert/strict";
import { test } from "node:test";
import { createMemoryStore } from "./memory-store.ts";
import type { Store } from "./store.ts";

const CHASSIS = { underlay: "192.168.0.1", workers: 2, workersMax: 4, version: "1" };

function storeWithChassis(): Store {
  const store = createMemoryStore("a");
  const documents = ["a", "b"].map((name) => ({ kind: "chassis", name, ...CHASSIS }));
  const puts = documents.map((document) => ({ op: "put", document }) as const);
  const done = store.transact(puts, "chassis");
  assert.ok(done.ok, done.ok ? "" : done.error.message);
  return store;
}

/** What the user is told who writes how chassis a is to work. */
function told(rest: object): string {
  const document = { kind: "dataplane", name: "a", ...rest };
  const done = storeWithChassis().transact([{ op: "put", document }], "user");
  return done.ok ? "done" : done.error.message;
}

test("a stage is placed at a worker that there is to be", () => {
  const placement = { acl: { worker: 1 } };
  assert.equal(told({ placement }), "done");
  assert.equal(told({ workers: 4, placement: { acl: { worker: 3 } } }), "done");
  assert.equal(
    told({ workers: 1, placement }),
    "/0/placement/acl/worker: expected 0, as the chassis is to have 1 worker, got 1",
  );
  assert.equal(
    told({ placement: { nat: { worker: 2 } } }),
    "/0/placement/nat/worker: expected 0 to 1, as the chassis is to have 2 workers, got 2",
  );
});

test("a stage is placed at another chassis that is known", () => {
  assert.equal(told({ placement: { acl: { chassis: "b" } } }), "done");
  for (const chassis of ["a", "c"]) {
    assert.equal(
      told({ placement: { acl: { chassis } } }),
      "/0/placement/acl/chassis: expected the name of another chassis that is known, " +
        `got "${chassis}"`,
    );
  }
});

test("a chassis has as many workers as it was configured for, at most", () => {
  assert.equal(told({ workers: 4 }), "done");
  assert.equal(
    told({ workers: 5 }),
    "/0/workers: expected 1 to 4, the most that the chassis was configured for, got 5",
  );
});
