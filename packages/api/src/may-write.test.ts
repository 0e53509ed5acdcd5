import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { createMemoryStore } from "@rhone/state/memory-store";
import { start } from "./api-fixture.ts";

const LIMIT = { timeout: 10_000 };

test(
  "a write waits until the chassis takes one, and nothing that only reads does",
  LIMIT,
  async (t) => {
    const store = createMemoryStore("a");
    const asked = Promise.withResolvers<void>();
    const taken = Promise.withResolvers<void>();
    const call = await start(t, {
      store,
      mayWrite: () => {
        asked.resolve();
        return taken.promise;
      },
    });
    const written = call("PUT", "/v1/switches/web", {});
    await asked.promise;
    assert.equal((await call("GET", "/v1/switches")).status, 200);
    await turn();
    assert.equal(store.snapshot().switches.length, 0, "it waits");
    taken.resolve();
    assert.equal((await written).status, 201);
    assert.equal(store.snapshot().switches.length, 1);
  },
);
