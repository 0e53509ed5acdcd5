/**
 * Names under which the composition's parts are registered; tests replace a part under its name.
 */
import type { Convergence } from "@rhone/gossip/convergence";
import type { FallbackTransport } from "@rhone/gossip/fallback-transport";
import type { Membership } from "@rhone/gossip/membership";
import type { MeteredTransport } from "@rhone/gossip/metered-transport";
import type { NatsPlacement } from "@rhone/gossip/nats-placement";
import type { NatsServer } from "@rhone/gossip/nats-server";
import type { NatsSilence } from "@rhone/gossip/nats-silence";
import type { PeerLinks } from "@rhone/gossip/peer-links";
import type { Refusals } from "@rhone/gossip/refusals";
import type { Replicator } from "@rhone/gossip/replicator";
import type { Signers } from "@rhone/gossip/signers";
import type { Store } from "@rhone/state/store";
import type { Logger } from "pino";
import type { InjectionToken } from "tsyringe";
import type { Cluster } from "./cluster.ts";
import type { Config } from "./config.ts";
import type { ConnectionMoves } from "./connection-moves.ts";
import type { Controller } from "./controller.ts";
import type { Dataplane } from "./dataplane.ts";
import type { Devices } from "./devices.ts";
import type { DirectTunnel } from "./direct-tunnel.ts";
import type { EarlySenders } from "./early-senders.ts";
import type { GatewayPorts } from "./gateway-ports.ts";
import type { Life } from "./incarnation.ts";
import type { Knowledge } from "./knowledge.ts";
import type { PeerAddresses } from "./peer-addresses.ts";
import type { RuleHits } from "./rule-hits.ts";
import type { StampKeys } from "./stamp-keys.ts";

export const CONFIG: InjectionToken<Config> = Symbol("config");
export const LOG: InjectionToken<Logger> = Symbol("log");
export const STORE: InjectionToken<Store> = Symbol("store");
/** What of all that came from elsewhere was refused. */
export const REFUSALS: InjectionToken<Refusals> = Symbol("refusals");
export const CLUSTER: InjectionToken<Cluster | null> = Symbol("cluster");
/** null when the chassis has joined no cluster. */
export const SIGNERS: InjectionToken<Signers | null> = Symbol("signers");
export const NATS_PLACEMENT: InjectionToken<NatsPlacement> = Symbol("nats-placement");
export const NATS_SERVER: InjectionToken<NatsServer> = Symbol("nats-server");
export const NATS_SILENCE: InjectionToken<NatsSilence> = Symbol("nats-silence");
/** null when the chassis has joined no cluster. */
export const PEER_LINKS: InjectionToken<PeerLinks | null> = Symbol("peer-links");
/** null when the chassis has joined no cluster: then there is NATS alone. */
export const PATHS: InjectionToken<FallbackTransport | null> = Symbol("paths");
export const TRANSPORT: InjectionToken<MeteredTransport> = Symbol("transport");
export const REPLICATOR: InjectionToken<Replicator> = Symbol("replicator");
export const CONVERGENCE: InjectionToken<Convergence> = Symbol("convergence");
/** The number of this life of the chassis. */
export const LIFE: InjectionToken<Life> = Symbol("life");
export const MEMBERSHIP: InjectionToken<Membership> = Symbol("membership");
export const KNOWLEDGE: InjectionToken<Knowledge> = Symbol("knowledge");
export const PEER_ADDRESSES: InjectionToken<PeerAddresses> = Symbol("peer-addresses");
export const DATAPLANE: InjectionToken<Dataplane> = Symbol("dataplane");
export const DEVICES: InjectionToken<Devices> = Symbol("devices");
export const DIRECT_TUNNEL: InjectionToken<DirectTunnel | null> = Symbol("direct-tunnel");
export const EARLY_SENDERS: InjectionToken<EarlySenders> = Symbol("early-senders");
export const GATEWAY_PORTS: InjectionToken<GatewayPorts> = Symbol("gateway-ports");
export const CONNECTION_MOVES: InjectionToken<ConnectionMoves> = Symbol("connection-moves");
export const STAMP_KEYS: InjectionToken<StampKeys | null> = Symbol("stamp-keys");
export const RULE_HITS: InjectionToken<RuleHits> = Symbol("rule-hits");
export const CONTROLLER: InjectionToken<Controller> = Symbol("controller");
