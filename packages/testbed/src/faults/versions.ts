/** Row 21: a chassis of a later version writes what the others do not know. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { PortStatusView } from "@rhone/api/context";
import type { ChassisProcess } from "@rhone/cli/chassis-process";
import { until } from "../until.ts";
import { intruder } from "./intruders.ts";
import { CHASSIS, type Rig } from "./rig.ts";
import { expect, type Fault } from "./run-fault.ts";
import { missingAt } from "./writer.ts";

const NAME = "later";
const UNKNOWN = ['"colour":"blue"', '"shade":"light"'];

const laterVersion: Fault = {
  ...{ row: 21, name: "c writes fields and kinds of a later version; kill -9 b", mayLose: true },
  ...{ writeTo: ["a"], spoilsLab: true },
  inflict: async (rig) => {
    const { fixture } = rig;
    const tool = intruder(rig, "later", NAME);
    try {
      await tool.line();
    } finally {
      await tool.kill();
    }
    for (const name of CHASSIS) {
      await until(`${name} knows the part that it understands`, async () => {
        return (await missingAt(fixture.chassis(name), [NAME])).length === 0;
      });
      await until(`${name} keeps the rest`, () => keepsAll(rig, name));
    }
    const forwards = async ({ client }: ChassisProcess): Promise<boolean> => {
      return (await client.get<{ status: PortStatusView }>("/v1/ports/vm2")).status.up;
    };
    // It says in its health that something of a later version is not in force.
    await fixture.crash("b", undefined, forwards);
    expect(keepsAll(rig, "b"), "b has forgotten what it does not understand");
    return "what nobody understands is kept, passed on, and there after a restart";
  },
};

/** Whether the unknown is on the disk of a chassis. */
function keepsAll({ fixture }: Rig, name: string): boolean {
  const path = join(fixture.chassis(name).dataDirectory, "state.sqlite");
  const files = [path, `${path}-wal`].filter(existsSync).map((file) => readFileSync(file));
  return UNKNOWN.every((text) => files.some((bytes) => bytes.includes(text)));
}

export const VERSION_FAULTS: readonly Fault[] = [laterVersion];
