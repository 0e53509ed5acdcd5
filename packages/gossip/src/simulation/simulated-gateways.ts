/**
 * The gateways of a simulated chassis, as gateway-ports.ts of the chassis package puts them
 * together: what documents, claims and devices say goes to them, and what comes of it is a lease.
 * Workers forward while that lasts, also while the control thread is paused.
 */
import { claimAt, claimsOf } from "@rhone/state/claim";
import { epochBeside, type Gateway, portsOf } from "@rhone/state/gateway";
import { get, type State } from "@rhone/state/state";
import type { Store } from "@rhone/state/store";
import { Gateways, type GatewaysOptions } from "../gateways/gateways.ts";
import type { Group } from "../gateways/group.ts";
import type { GatewayTurn } from "../ports/claim-changes.ts";
import { Refusals } from "../refusals.ts";
import type { Transport } from "../transport.ts";
import type { Process } from "./machine.ts";
import type { SimulatedDevices } from "./simulated-devices.ts";

/** As LOOK_MS of the chassis. */
const LOOK_MS = 200;
const KINDS: ReadonlySet<string> = new Set(["gateway", "port", "binding"]);

export interface SimulatedGatewaysOptions {
  readonly process: Process;
  readonly store: Store;
  readonly transport: Transport;
  readonly send: GatewaysOptions["send"];
  readonly incarnation: number;
  readonly devices: SimulatedDevices;
  readonly seam?: ((options: GatewaysOptions) => GatewaysOptions) | undefined;
  /** Who forwards has changed; or only why this chassis does not. */
  readonly onTurn: () => void;
  readonly onReason: () => void;
}

export class SimulatedGateways {
  readonly #options: SimulatedGatewaysOptions;
  readonly #gateways: Gateways;
  /** Until when workers forward, by gateway, on the clock of the process. */
  readonly #leases = new Map<string, number>();
  readonly #active = new Set<string>();
  #known: State["gateways"] | null = null;

  constructor(options: SimulatedGatewaysOptions) {
    const { process, store, transport, send, incarnation, seam, onTurn, onReason } = options;
    const { now, setTimer, machine } = process;
    this.#options = options;
    const plain: GatewaysOptions = {
      ...{ self: machine.name, incarnation, now, setTimer, refusals: new Refusals({ now }) },
      ...{ transport, ...(send === undefined ? {} : { send }) },
      onLease: (gateway, untilMs) => void this.#leases.set(gateway, untilMs),
      onTurn: (gateway, { isActive, reason }) => {
        const was = this.#active.has(gateway);
        if (isActive) this.#active.add(gateway);
        else this.#active.delete(gateway);
        if (was || isActive) machine.world.log(`${machine.name} ${reason} for ${gateway}`);
        if (was || isActive) onTurn();
        else if (reason !== "witness") onReason();
      },
    };
    this.#gateways = new Gateways(seam?.(plain) ?? plain);
    store.onChange((entries) => {
      if (entries.some(({ kind }) => KINDS.has(kind))) this.look();
    });
    this.#lookAgain();
  }

  /** Whether its workers forward now. */
  forwards(gateway: string): boolean {
    const untilMs = this.#leases.get(gateway) ?? Number.NEGATIVE_INFINITY;
    return untilMs > this.#options.process.now();
  }

  readonly turnAt = (gateway: string): GatewayTurn => {
    const turn = this.#gateways.turnOf(gateway);
    if (turn === undefined) return { isActive: false, epoch: 0, text: "starts" };
    const { isActive, epoch, reason } = turn;
    return { isActive, epoch, text: isActive ? "" : reason };
  };

  look(): void {
    const { store, process, devices } = this.#options;
    const { name: self } = process.machine;
    const state = store.snapshot();
    if (state.gateways !== this.#known) {
      this.#known = state.gateways;
      const groups = state.gateways.map(({ name, value }) => [name, groupOf(value)] as const);
      this.#gateways.setGroups(new Map(groups));
    }
    for (const { name } of state.gateways) {
      const ports = portsOf(state, name).map((port) => port.name);
      for (const port of ports) {
        const claims = claimsOf(state, port);
        this.#gateways.claimed(name, epochBeside(claims, self));
        const own = claimAt(claims, self)?.value.epoch ?? 0;
        if (!this.#active.has(name)) this.#gateways.claimed(name, own);
      }
      const wanted = ports.filter((port) => claimsOf(state, port).some(({ value }) => value.up));
      const isUp = wanted.length > 0 && wanted.every((port) => devices.isUp(port));
      this.#gateways.setDevice(name, isUp);
    }
  }

  #lookAgain(): void {
    this.look();
    this.#options.process.setTimer(() => this.#lookAgain(), LOOK_MS);
  }
}

function groupOf({ members, witnesses }: Gateway): Group {
  return {
    members: members.map(({ chassis, priority, drained }) => {
      return { chassis, priority, isDrained: drained === true };
    }),
    witnesses: witnesses.filter((name) => members.every(({ chassis }) => chassis !== name)),
  };
}

/** Who forwards for each gateway, seen from outside. */
export class GatewayWatch {
  readonly #fail: (kind: "double" | "stale", message: string) => void;
  readonly #count: (what: string) => void;
  readonly #names: readonly string[];
  readonly #running = new Map<Process, SimulatedGateways>();
  readonly #last = new Map<string, string>();

  constructor(
    names: readonly string[],
    fail: (kind: "double" | "stale", message: string) => void,
    count: (what: string) => void,
  ) {
    this.#names = names;
    this.#fail = fail;
    this.#count = count;
  }

  started(process: Process, gateways: SimulatedGateways): void {
    this.#running.set(process, gateways);
    process.onEnd(() => this.#running.delete(process));
  }

  /** After each event: never two forward for one gateway, whatever their control threads do. */
  look(): void {
    for (const name of this.#names) {
      let first: string | null = null;
      for (const [{ machine }, gateways] of this.#running) {
        if (!gateways.forwards(name)) continue;
        if (first !== null)
          this.#fail("double", `${first} and ${machine.name} forward for ${name}`);
        first = machine.name;
      }
      if (first === null || this.#last.get(name) === first) continue;
      this.#last.set(name, first);
      this.#count("gateways taken over");
    }
  }

  /** Whether somebody forwards for each gateway that one of its members could forward for. */
  isSettled(state: State, isUp: (chassis: string, port: string) => boolean): boolean {
    return state.gateways.every(({ name, value }) => {
      const ports = portsOf(state, name);
      const isAble = ports.some((port) => {
        return value.members.some(({ chassis }) => isUp(chassis, port.name));
      });
      return !isAble || [...this.#running.values()].some((gateways) => gateways.forwards(name));
    });
  }

  /** In the end who forwards has the gateway's ports. */
  checkEnd(state: State, holderOf: (port: string) => string | undefined): void {
    for (const [{ machine }, gateways] of this.#running) {
      for (const { name } of state.gateways) {
        if (!gateways.forwards(name)) continue;
        for (const port of portsOf(state, name)) {
          const holder = holderOf(port.name);
          if (get(state, "port", port.name) === undefined || holder === machine.name) continue;
          this.#fail("stale", `${machine.name} forwards for ${name}, ${port.name} is at ${holder}`);
        }
      }
    }
  }
}
