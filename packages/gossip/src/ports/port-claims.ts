/**
 * The claims of this chassis: writes what claim-changes.ts makes of the state, of the devices that
 * are here, and of who is dead. Runs on the control thread.
 */
import type { Store } from "@rhone/state/store";
import type { Status } from "../membership/claim.ts";
import { type Claimant, type ClaimedDevice, claimChanges } from "./claim-changes.ts";

export interface PortClaimsOptions {
  readonly chassis: string;
  readonly store: Store;
  /** Those that are open, or should be. */
  readonly devices: () => readonly ClaimedDevice[];
  readonly turnAt: Claimant["turnAt"];
  /** Hears why claims could not be written, until they can be again. */
  readonly onFailure: (error: object) => void;
}

export class PortClaims {
  readonly #options: PortClaimsOptions;
  /** Dead chassis, with the state's revision when that was found: what they say later counts. */
  readonly #deadSince = new Map<string, number>();
  /** Ports that move here, and whose guests have been heard. */
  readonly #awake = new Set<string>();
  #hasFailed = false;

  constructor(options: PortClaimsOptions) {
    this.#options = options;
  }

  /** Hears of each change of another chassis' status. */
  onMember(chassis: string, status: Status): void {
    if (status === "dead") this.#deadSince.set(chassis, this.#options.store.revision);
    else this.#deadSince.delete(chassis);
  }

  /** Whether the others were not told what they should be: to be tried again. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  /** Tells the others which ports this chassis claims. */
  announce(): void {
    const { chassis, store, devices, turnAt, onFailure } = this.#options;
    const changes = claimChanges(store.snapshot(), {
      ...{ chassis, devices: devices() },
      isDead: ({ value, version }) => version.clock <= (this.#deadSince.get(value.chassis) ?? 0),
      isAwake: (port) => this.#awake.has(port),
      turnAt,
    });
    const before = this.#hasFailed;
    this.#hasFailed = false;
    if (changes.length === 0) return;
    const result = store.transact(changes, "chassis");
    if (result.ok) return;
    this.#hasFailed = true;
    if (!before) onFailure(result.error);
  }

  /** The guest of a port that moves here has been heard: it is here from now on. */
  activate(port: string): void {
    this.#awake.add(port);
    this.announce();
    this.#awake.delete(port); // If that failed, the next such frame comes with a new generation.
  }
}
