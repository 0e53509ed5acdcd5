/**
 * The ports of gateways at this chassis: what the desired state and the devices say goes to the
 * gateways (gossip), and what comes of it to the fences of the devices, the claims, the tables, and
 * the outside. Runs on the control thread.
 */
import type { GatewayTurn } from "@rhone/gossip/claim-changes";
import { STOPPING_MS } from "@rhone/gossip/gateway";
import { Gateways, type GatewaysOptions, type Turn } from "@rhone/gossip/gateways";
import type { Group } from "@rhone/gossip/group";
import type { SetTimer } from "@rhone/gossip/transport";
import type { DeviceFences } from "@rhone/rings/device-fences";
import { claimAt, claimsOf } from "@rhone/state/claim";
import { epochBeside, type Gateway } from "@rhone/state/gateway";
import type { Port } from "@rhone/state/schema";
import { get, type State } from "@rhone/state/state";
import type { Store } from "@rhone/state/store";
import type { Logger } from "pino";
import type { DeviceView } from "./devices.ts";
import { turnText } from "./gateway-text.ts";

/** A cable that is pulled out is noticed within that time. */
const LOOK_MS = 200;
/** When the outside hears of the routers, after this chassis has begun to forward. */
const ANNOUNCE_MS = [0, 100, 500];
/** A chassis that ends waits so long for what it has said to be on its way. */
const LEAVE_MS = STOPPING_MS + 30;

export interface GatewayPortsOptions {
  readonly chassis: string;
  readonly store: Store;
  /** Those that are open, or should be. */
  readonly devices: () => readonly Pick<DeviceView, "port" | "device" | "index" | "phase">[];
  /** Whether a device is up and its cable is plugged in. */
  readonly hasCarrier: (device: string) => boolean;
  readonly fences: DeviceFences;
  /** Tells the outside of a device where the routers are. */
  readonly announce: (index: number) => void;
  /** Who forwards has changed: claims and tables are to follow at once. */
  readonly onTurn: () => void;
  /** Why this chassis does not forward has changed. */
  readonly onReason: () => void;
  readonly setTimer: SetTimer;
  readonly log: Logger;
}

/** How to reach the others. */
export type Company = Omit<GatewaysOptions, "self" | "onLease" | "onTurn" | "setTimer">;

/** Of which the gateways here may hear something new. */
const KINDS: ReadonlySet<string> = new Set(["gateway", "port", "binding"]);

const NOT_YET: GatewayTurn = { isActive: false, epoch: 0, text: "the chassis starts" };

export class GatewayPorts {
  readonly #options: GatewayPortsOptions;
  readonly #unsubscribe: () => void;
  #gateways: Gateways | null = null;
  #isLeaving = false;
  /** The gateways that were looked at last. */
  #known: State["gateways"] | null = null;
  /** The ports of each: looking through all takes long where they are many. */
  #ports = { of: [] as State["ports"], byGateway: new Map<string, Port[]>() };
  #cancelLook: () => void = () => {};
  #cancelAnnouncements = new Map<string, () => void>();
  /** Whether this chassis forwards, by gateway. */
  readonly #active = new Set<string>();

  constructor(options: GatewayPortsOptions) {
    this.#options = options;
    this.#unsubscribe = options.store.onChange((entries) => {
      const isOurs = entries.some(({ kind }) => KINDS.has(kind));
      if (isOurs) this.look();
    });
  }

  /** From now on it is agreed with the others who forwards; until then nobody does here. */
  connect(company: Company): void {
    const { chassis, setTimer } = this.#options;
    this.#gateways = new Gateways({
      ...company,
      ...{ self: chassis, setTimer },
      onLease: (gateway, untilMs) => this.#fence(gateway, untilMs),
      onTurn: (gateway, turn) => this.#take(gateway, turn),
    });
    this.#lookAgain();
  }

  /** What this chassis has to say of its claims of the gateway's ports. */
  readonly turnAt = (gateway: string): GatewayTurn => {
    const turn = this.#gateways?.turnOf(gateway);
    const value = get(this.#options.store.snapshot(), "gateway", gateway)?.value;
    if (turn === undefined || value === undefined) return NOT_YET;
    const { isActive, epoch } = turn;
    return { isActive, epoch, text: turnText(turn, value, this.#options.chassis) };
  };

  /** Takes in what state and devices are now. */
  look(): void {
    const gateways = this.#gateways;
    if (gateways === null || this.#isLeaving) return;
    const { store, chassis } = this.#options;
    const state = store.snapshot();
    if (state.gateways !== this.#known) {
      this.#known = state.gateways;
      gateways.setGroups(new Map(state.gateways.map(({ name, value }) => [name, groupOf(value)])));
    }
    for (const { name } of state.gateways) {
      for (const { name: port } of this.#portsOf(state, name)) {
        const claims = claimsOf(state, port);
        gateways.claimed(name, epochBeside(claims, chassis));
        const own = claimAt(claims, chassis)?.value.epoch ?? 0;
        if (!this.#active.has(name)) gateways.claimed(name, own);
      }
      gateways.setDevice(name, this.#isUp(state, name));
    }
  }

  /** Hands over what this chassis forwards for, if anybody else can, and ends. */
  async leave(): Promise<void> {
    const { store, setTimer } = this.#options;
    this.#cancelLook();
    this.#isLeaving = true;
    const isActive = this.#active.size > 0;
    for (const { name } of store.snapshot().gateways) this.#gateways?.setDevice(name, false);
    // Until the others have been told.
    if (isActive) await new Promise<void>((resolve) => void setTimer(resolve, LEAVE_MS));
    this.#stop();
  }

  #stop(): void {
    this.#unsubscribe();
    this.#cancelLook();
    for (const cancel of this.#cancelAnnouncements.values()) cancel();
    this.#gateways?.stop();
  }

  #lookAgain(): void {
    this.look();
    this.#cancelLook = this.#options.setTimer(() => this.#lookAgain(), LOOK_MS);
  }

  /**
   * Whether each of the gateway's ports that is up at any member is up here. One that is not there
   * yet, where others are, ends nothing: it may be new.
   */
  #isUp(state: State, gateway: string): boolean {
    const { hasCarrier } = this.#options;
    const ports = this.#portsOf(state, gateway).filter(({ name }) => {
      return claimsOf(state, name).some(({ value }) => value.up);
    });
    const devices = this.#devicesOf(ports);
    if (ports.length === 0 || devices.length < ports.length) return false;
    const isActive = this.#active.has(gateway);
    return devices.every(({ phase, device }) => {
      return phase === "opening" ? isActive : phase === "up" && hasCarrier(device);
    });
  }

  #portsOf({ ports }: State, gateway: string): readonly Port[] {
    if (ports !== this.#ports.of) {
      const named = ports.filter(({ value }) => value.gateway !== undefined);
      const values = named.map(({ value }) => value);
      this.#ports = { of: ports, byGateway: Map.groupBy(values, (port) => port.gateway!) };
    }
    return this.#ports.byGateway.get(gateway) ?? [];
  }

  #devicesOf(ports: readonly { readonly name: string }[]) {
    return this.#options.devices().filter(({ port }) => ports.some(({ name }) => name === port));
  }

  #fence(gateway: string, untilMs: number): void {
    const { store, fences } = this.#options;
    const ports = this.#portsOf(store.snapshot(), gateway);
    for (const { index } of this.#devicesOf(ports)) fences.set(index, untilMs);
  }

  #take(gateway: string, turn: Turn): void {
    const { log, onTurn, onReason } = this.#options;
    const was = this.#active.has(gateway);
    if (turn.isActive) this.#active.add(gateway);
    else this.#active.delete(gateway);
    if (!was && !turn.isActive) {
      if (turn.reason !== "witness") onReason();
      return;
    }
    log.info({ gateway, ...turn }, turn.isActive ? "forwards for a gateway" : "stops forwarding");
    onTurn();
    this.#cancelAnnouncements.get(gateway)?.();
    if (turn.isActive) this.#announceFrom(gateway, 0);
  }

  /** The first time at once, and again in case that was too early or got lost. */
  #announceFrom(gateway: string, time: number): void {
    const { store, announce, setTimer } = this.#options;
    const ports = this.#portsOf(store.snapshot(), gateway);
    for (const { index } of this.#devicesOf(ports)) announce(index);
    const next = ANNOUNCE_MS[time + 1];
    if (next === undefined) this.#cancelAnnouncements.delete(gateway);
    else {
      const delayMs = next - ANNOUNCE_MS[time]!;
      const cancel = setTimer(() => this.#announceFrom(gateway, time + 1), delayMs);
      this.#cancelAnnouncements.set(gateway, cancel);
    }
  }
}

/** A chassis that two users named as both is a member. */
function groupOf({ members, witnesses }: Gateway): Group {
  return {
    members: members.map(({ chassis, priority, drained }) => {
      return { chassis, priority, isDrained: drained === true };
    }),
    witnesses: witnesses.filter((name) => members.every(({ chassis }) => chassis !== name)),
  };
}
