/**
 * The chassis as a member of its cluster: its identity while it runs, who lets others in, and how
 * its certificates stay fresh. Runs on the control thread.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Authority } from "@rhone/gossip/authority";
import { clusterDirectory, type Identity, readIdentity } from "@rhone/gossip/identity";
import { JoinError, joinCluster } from "@rhone/gossip/join-client";
import { JoinServer } from "@rhone/gossip/join-server";
import type { Refusals } from "@rhone/gossip/refusals";
import { Renewal } from "@rhone/gossip/renewal";
import { setRealTimer, type Transport } from "@rhone/gossip/transport";
import type { Logger } from "pino";
import { type Config, readText } from "./config.ts";

const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5000;
/** Certificates that should have been renewed by then are worth an alarm. */
const ALARM_BEFORE_MS = 36 * 3_600_000;

export class Cluster {
  readonly #config: Config;
  readonly #log: Logger;
  readonly #authority: Authority | null;
  readonly #refusals: Refusals;
  readonly #listeners: (() => void)[] = [];
  #identity: Identity;
  #joinServer: JoinServer | null = null;
  #renewal: Renewal | null = null;

  constructor(config: Config, identity: Identity, log: Logger, refusals: Refusals) {
    this.#config = config;
    this.#identity = identity;
    this.#log = log;
    this.#authority = Authority.open(clusterDirectory(config.dataDirectory));
    this.#refusals = refusals;
  }

  /** As the newest certificates have it. */
  readonly identity = (): Identity => this.#identity;

  /** Whether this chassis lets others in. */
  get isAuthority(): boolean {
    return this.#authority !== null;
  }

  /** Calls `listener` when there are new certificates. */
  onRenewed(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** On the authority: lets others in from now on. */
  async listen(): Promise<void> {
    if (this.#authority === null) return;
    const log = this.#log;
    this.#joinServer = new JoinServer({
      authority: this.#authority,
      credentials: this.#identity.chassis,
      clusterKey: Buffer.from(this.#identity.clusterKey).toString("hex"),
      address: this.#config.underlay,
      port: this.#config.cluster.joinPort,
      wallClock: Date.now,
      refusals: this.#refusals,
      onJoin: (name, underlay) => log.info({ name, underlay }, "a chassis has joined"),
    });
    await this.#joinServer.start();
  }

  /** Keeps the certificates fresh from now on. */
  renewOver(transport: Transport): void {
    const { name, underlay, dataDirectory } = this.#config;
    const options = {
      directory: clusterDirectory(dataDirectory),
      self: { name, underlay },
      transport,
      authority: this.#authority,
      wallClock: Date.now,
      random: Math.random,
      setTimer: setRealTimer,
      refusals: this.#refusals,
      onRenewed: (identity: Identity) => this.#onRenewed(identity),
    };
    this.#renewal = new Renewal(options, this.#identity);
  }

  stop(): void {
    this.#renewal?.stop();
    this.#joinServer?.stop();
  }

  /** For health: whether the certificates will last. */
  check(): { readonly name: string; readonly ok: boolean; readonly detail: string } {
    const leftMs = this.#identity.notAfterMs - Date.now();
    const hours = Math.round(leftMs / 3_600_000);
    const failure = this.#renewal?.failure ?? "";
    const left = leftMs > 0 ? `the certificates last for ${hours} h` : "the certificates are over";
    const detail = failure === "" ? left : `${left}; they cannot be renewed: ${failure}`;
    return { name: "identity", ok: leftMs > ALARM_BEFORE_MS, detail };
  }

  #onRenewed(identity: Identity): void {
    this.#identity = identity;
    this.#log.info({ until: new Date(identity.notAfterMs).toISOString() }, "certificates renewed");
    this.#joinServer?.replace(identity.chassis).catch((error: Error) => {
      this.#log.error({ err: error }, "the listener for new chassis did not come back");
    });
    for (const listener of this.#listeners) listener();
  }
}

/** The identity of the chassis; null when it belongs to no cluster. Throws when it is another's. */
export function identityOf({ name, dataDirectory }: Config): Identity | null {
  const identity = readIdentity(clusterDirectory(dataDirectory));
  if (identity === null || identity.name === name) return identity;
  throw new Error(
    `${dataDirectory}: expected the identity of chassis ${name}, got that of ${identity.name}: ` +
      `a chassis keeps the name that it joined with`,
  );
}

/**
 * Joins with the token that the configuration names, if the chassis has not joined before. Waits
 * for an authority that does not answer; throws when it refuses.
 */
export async function joinWhenAsked(config: Config, onWait: (why: string) => void): Promise<void> {
  const { name, underlay, dataDirectory, cluster } = config;
  if (cluster.joinTokenFile === undefined || identityOf(config) !== null) return;
  const token = readText(cluster.joinTokenFile);
  let isFirst = true;
  for (let delayMs = RETRY_MIN_MS; ; delayMs = Math.min(delayMs * 1.5, RETRY_MAX_MS)) {
    try {
      await joinCluster(clusterDirectory(dataDirectory), token, { name, underlay });
      return;
    } catch (error) {
      if (!(error instanceof JoinError) || error.code !== "unreachable") throw error;
      if (isFirst) onWait(error.message);
      isFirst = false;
      await sleep(delayMs);
    }
  }
}
