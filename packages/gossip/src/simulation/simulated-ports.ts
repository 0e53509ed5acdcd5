/**
 * The ports of a simulated chassis: its devices, and what it claims because of them. As the
 * controller of the chassis package puts it together.
 */
import type { Store } from "@rhone/state/store";
import type { Membership } from "../membership/membership.ts";
import { PortClaims } from "../ports/port-claims.ts";
import type { Process } from "./machine.ts";
import { SimulatedDevices } from "./simulated-devices.ts";
import { SimulatedGateways, type SimulatedGatewaysOptions } from "./simulated-gateways.ts";

/** As RETRY_MS of the chassis. */
const RETRY_MS = 500;
const NO_TURN = { isActive: false, epoch: 0, text: "" };

export interface SimulatedPortsOptions {
  readonly process: Process;
  readonly store: Store;
  /** Writes to it, and tells who watches. */
  readonly transact: Store["transact"];
  readonly membership: Membership;
  /** What a mutant makes of the claims. */
  readonly seam?: ((claims: PortClaims, store: Store, process: Process) => PortClaims) | undefined;
  /** null where there are no gateways. */
  readonly gateways: Pick<SimulatedGatewaysOptions, "transport" | "send" | "incarnation"> | null;
  readonly gatewaySeam?: SimulatedGatewaysOptions["seam"];
  /** Something has changed that is to be compiled soon, or at once. */
  readonly mark: () => void;
  readonly compileAtOnce: () => void;
}

export class SimulatedPorts {
  readonly devices: SimulatedDevices;
  readonly gateways: SimulatedGateways | null;
  readonly #options: SimulatedPortsOptions;
  readonly #claims: PortClaims;
  #awake: string | null = null;

  constructor(options: SimulatedPortsOptions) {
    const { process, store: plain, transact, membership, mark, seam } = options;
    const store = withTransact(plain, transact);
    this.#options = options;
    this.devices = new SimulatedDevices({ process, onChange: mark });
    const claims = new PortClaims({
      ...{ chassis: process.machine.name, store, devices: () => this.devices.list() },
      turnAt: (gateway) => this.gateways?.turnAt(gateway) ?? NO_TURN,
      onFailure: () => {},
    });
    this.#claims = seam?.(claims, store, process) ?? claims;
    membership.onStatus((name, status) => this.#claims.onMember(name, status));
    const { gateways, gatewaySeam } = options;
    this.gateways =
      gateways &&
      new SimulatedGateways({
        ...{ process, store, ...gateways, devices: this.devices, seam: gatewaySeam },
        onTurn: () => {
          this.#claims.announce();
          this.#options.compileAtOnce();
        },
        onReason: mark,
      });
    this.#expectRetry();
  }

  /** Whose guest is being heard. */
  get awake(): string | null {
    return this.#awake;
  }

  /** Tables are compiled from what the store has now. */
  follow(): void {
    this.devices.follow(this.#options.store.snapshot());
  }

  /** Tables have been compiled. */
  announce(): void {
    this.#claims.announce();
  }

  /** The guest of a port that moves here says something. */
  awaken(port: string): void {
    if (!this.devices.isUp(port)) return;
    this.#awake = port;
    this.#claims.activate(port);
    this.#awake = null;
    this.#options.compileAtOnce();
  }

  #expectRetry(): void {
    this.#options.process.setTimer(() => {
      this.devices.retry();
      if (this.#claims.hasFailed) this.#claims.announce();
      this.#expectRetry();
    }, RETRY_MS);
  }
}

function withTransact(store: Store, transact: Store["transact"]): Store {
  return new Proxy(store, {
    get: (target, name) => {
      if (name === "transact") return transact;
      const method: unknown = Reflect.get(target, name, target);
      return typeof method === "function" ? method.bind(target) : method;
    },
  });
}
