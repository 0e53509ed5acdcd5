/**
 * What the API shows of the cluster: who lives (membership), which ways lead there (NATS and
 * links), and who holds the same state (replicator). Runs on the control thread.
 *
 * A hole in the mesh of nats-servers is found by listening, not by asking the servers: a route that
 * a server lists may still carry nothing, and what counts is whether messages arrive.
 */
import type { ClusterView } from "@rhone/api/context";
import type { Peer } from "@rhone/gossip/peer-table";
import type { DependencyContainer } from "tsyringe";
import * as tokens from "./tokens.ts";

export function clusterView(parts: DependencyContainer): ClusterView {
  const nowMs = performance.now();
  const age = (atMs: number): number => Math.max(0, Math.round(nowMs - atMs));
  const membership = parts.resolve(tokens.MEMBERSHIP);
  const paths = parts.resolve(tokens.PATHS)?.paths ?? null;
  const links = parts.resolve(tokens.PEER_LINKS)?.states ?? [];
  const peers = parts.resolve(tokens.REPLICATOR).peers();
  const addresses = parts.resolve(tokens.PEER_ADDRESSES).named();
  const { ageMs: knowledgeAgeMs } = parts.resolve(tokens.KNOWLEDGE);
  return {
    chassis: parts.resolve(tokens.CONFIG).name,
    joined: parts.resolve(tokens.CLUSTER) !== null,
    doubt: membership.health,
    revision: parts.resolve(tokens.STORE).revision,
    knowledgeAgeMs: Number.isFinite(knowledgeAgeMs) ? Math.round(knowledgeAgeMs) : null,
    nats: natsOf(parts),
    members: membership.members().map(({ name, status, sinceMs, heardMs }) => {
      const peer = peers.find((known) => known.name === name);
      const link = links.find((known) => known.name === name);
      const path = paths?.find((known) => known.name === name);
      // Without links there is NATS alone, and what was heard was heard there.
      const heard = paths === null ? (peer?.isConnected ?? false) : (path?.isHeard ?? false);
      const address = addresses.find((known) => known.name === name)?.underlay;
      return {
        name,
        address: address ?? peer?.underlay ?? "",
        status,
        statusAgeMs: age(sinceMs),
        heardAgeMs: heardMs === null ? null : age(heardMs),
        nats: { heard, hearsUs: path?.isLinked ? path.hearsUs : null },
        link: link === undefined ? null : { up: link.isUp, detail: link.reason },
        state: peer === undefined ? null : stateOf(peer, age),
      };
    }),
    refused: { ...parts.resolve(tokens.REFUSALS).counts },
  };
}

function natsOf(parts: DependencyContainer): ClusterView["nats"] {
  const { layout, role, hubs } = parts.resolve(tokens.NATS_PLACEMENT).view;
  return { layout, role, hubs: [...hubs] };
}

function stateOf(
  { isInSync, revision, lastSeenMs, caughtUpMs }: Peer,
  age: (atMs: number) => number,
) {
  const knowledgeAgeMs = caughtUpMs === null ? null : age(caughtUpMs);
  return { same: isInSync, revision, ageMs: age(lastSeenMs), knowledgeAgeMs };
}
