/** Row 7: the nats-servers have hubs, and b goes away: the one to which the only leaf, a, goes. */
import type { ClusterView } from "@rhone/api/context";
import { until } from "../until.ts";
import { serverWorks } from "./nats-servers.ts";
import { untilNats } from "./partition.ts";
import { spread } from "./processes.ts";
import { CHASSIS, type Rig } from "./rig.ts";
import type { Fault } from "./run-fault.ts";

/** One that was taken for dead is a hub again after half a minute. */
const AGREED_MS = 90_000;

const hubServerDies: Fault = {
  ...{ row: 7, name: "kill -9 nats-server of hub b", mayLose: false, writeTo: ["a", "c"] },
  hasHubs: true,
  inflict: async (rig) => {
    await expectHubs(rig);
    const chassis = rig.fixture.chassis("b");
    const pid = await rig.servers.signal(chassis, "SIGKILL");
    const tookMs = await spread(rig, "without-server");
    await until("b has another nats-server", async () => {
      return (await rig.servers.pidOf(chassis)) !== pid && (await serverWorks(chassis));
    });
    await untilNats(rig.fixture);
    return `a change of a reaches all in ${Math.round(tookMs)} ms`;
  },
};

const hubDies: Fault = {
  ...{ row: 7, name: "kill -9 chassis b, a hub, which starts again", mayLose: true },
  ...{ writeTo: ["a", "c"], hasHubs: true },
  inflict: async (rig) => {
    await expectHubs(rig);
    const isBack = rig.fixture.crash("b");
    const tookMs = await spread(rig, "without-hub", ["c"]);
    const healthyMs = await isBack;
    const agreedMs = await until("all agree on the hubs", () => agree(rig), AGREED_MS);
    await untilNats(rig.fixture);
    const change = `a change of a is at c after ${Math.round(tookMs)} ms`;
    const health = `b healthy after ${Math.round(healthyMs)} ms`;
    return `${change}; ${health}; all agree on the hubs ${Math.round(agreedMs)} ms later`;
  },
};

/** What each chassis says that the hubs are. */
async function hubsOf({ fixture }: Rig): Promise<string[]> {
  const views = CHASSIS.map((name) => fixture.chassis(name).client.get<ClusterView>("/v1/cluster"));
  return (await Promise.all(views)).map(({ nats }) => nats.hubs.join());
}

async function agree(rig: Rig): Promise<boolean> {
  return (await hubsOf(rig)).every((hubs) => hubs === "b,c");
}

export async function expectHubs(rig: Rig): Promise<void> {
  await until("b and c are the hubs", () => agree(rig), AGREED_MS);
}

export const HUB_FAULTS: readonly Fault[] = [hubServerDies, hubDies];
