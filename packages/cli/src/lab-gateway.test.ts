/** A lab whose way to the outside is a gateway's, as labs/gateway.yaml has it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { GatewayView } from "@rhone/api/context";
import { checkLab } from "./check.ts";
import { type RunningLab, startLab } from "./lab.ts";
import { readLabFile } from "./lab-file.ts";
import { runIn } from "./namespaces.ts";
import { runOrThrow } from "./run.ts";

const LAB = readLabFile(fileURLToPath(new URL("../../../labs/gateway.yaml", import.meta.url)));
const LIMIT = { timeout: 90_000 };
const AGREED_MS = 20_000;

async function gatewayAt(lab: RunningLab, index: number): Promise<GatewayView["status"]> {
  const { client } = lab.chassis[index]!.process;
  return (await client.get<GatewayView>("/v1/gateways/edge")).status;
}

/** Until a chassis that is no member says that another than `before` forwards; returns which. */
async function untilAnother(lab: RunningLab, before: string): Promise<string> {
  const deadline = performance.now() + AGREED_MS;
  for (;;) {
    const status = await gatewayAt(lab, 2);
    if (status.active !== null && status.active !== before) return status.active;
    assert.ok(performance.now() < deadline, JSON.stringify(status));
    await sleep(50);
  }
}

test(
  "the outside is reached, also when the member that forwards loses its cable",
  LIMIT,
  async () => {
    const prefix = `rhone-t${process.pid}-gateway`;
    const lab = await startLab({ lab: LAB, prefix });
    try {
      const { findings } = await checkLab(lab);
      assert.deepEqual(
        findings.filter(({ ok }) => !ok),
        [],
      );
      assert.equal(findings.filter(({ group }) => group === "pair").length, 2 * 6);
      const first = await untilAnother(lab, "");
      const cable = `cable${["a", "b"].indexOf(first)}`;
      const namespace = lab.namespaceOf("uplink");
      await runOrThrow(["ip", "-netns", namespace, "link", "set", cable, "down"]);
      assert.notEqual(await untilAnother(lab, first), first);
      const ping = ["ping", "-c", "1", "-w", "10", "-i", "0.2", "10.0.1.10"];
      const { code, stdout } = await runIn(namespace, ping);
      assert.equal(code, 0, stdout);
    } finally {
      await lab.down();
    }
  },
);
