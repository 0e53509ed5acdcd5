/**
 * The chassis of a lab as one cluster: the first is its authority, and each other one joins with a
 * token before it starts, as `rhone join` does it. The authority listens on loopback meanwhile; in
 * the lab's network its own chassis does, later.
 */
import { Authority } from "@rhone/gossip/authority";
import { clusterDirectory, readIdentity } from "@rhone/gossip/identity";
import { joinCluster } from "@rhone/gossip/join-client";
import { JoinServer } from "@rhone/gossip/join-server";
import { Refusals } from "@rhone/gossip/refusals";

const HOST = "127.0.0.1";
const TOKEN_LIFE_MS = 60_000;

export interface LabMember {
  readonly name: string;
  readonly underlay: string;
  readonly dataDirectory: string;
}

/** Throws JoinError, or Error when a member belongs to a cluster already. */
export async function formCluster(members: readonly LabMember[]): Promise<void> {
  const [first, ...others] = members;
  const directory = clusterDirectory(first!.dataDirectory);
  const authority = Authority.create(directory, first!, Date.now());
  const { chassis, clusterKey } = readIdentity(directory)!;
  const server = new JoinServer({
    authority,
    credentials: chassis,
    clusterKey: Buffer.from(clusterKey).toString("hex"),
    address: HOST,
    port: 0,
    wallClock: Date.now,
    refusals: new Refusals({ now: () => performance.now() }),
  });
  const port = await server.start();
  try {
    for (const { name, underlay, dataDirectory } of others) {
      const token = authority.mintToken({ address: HOST, port }, TOKEN_LIFE_MS, Date.now());
      await joinCluster(clusterDirectory(dataDirectory), token, { name, underlay });
    }
  } finally {
    server.stop();
  }
}
