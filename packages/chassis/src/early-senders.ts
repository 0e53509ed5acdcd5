/**
 * Other chassis whose packets name what this one does not know yet: what they hold is fetched, and
 * compiled at once, while the packets wait in the workers (early-packets.ts). Runs on the control
 * thread.
 */
import type { Report } from "@rhone/dataplane-worker/plan";
import type { State } from "@rhone/state/state";
import type { Store } from "@rhone/state/store";
import { formatAddress, parseAddress } from "@rhone/wire/address";

export interface EarlySendersOptions {
  readonly store: Store;
  /** Compiles what is known, and what comes soon, without a pause. */
  readonly hurry: () => void;
  readonly now: () => number;
}

/** Remembered of those whose packets came early. */
const SENDERS_MAX = 64;

export interface EarlySender {
  /** null when no chassis that is known has the address. */
  readonly chassis: string | null;
  readonly address: string;
  /** When that was last heard of its packets, by the clock `now`. */
  readonly atMs: number;
}

export class EarlySenders {
  readonly #options: EarlySendersOptions;
  /** By address, the latest last. */
  readonly #senders = new Map<string, EarlySender>();
  #want: (peer: string) => void = () => {};
  /** Names of the chassis by address, and the documents that say so. */
  #names: ReadonlyMap<string, string> = new Map();
  #documents: State["chassis"] | null = null;

  constructor(options: EarlySendersOptions) {
    this.#options = options;
  }

  /** Whose packets came early, the latest first. */
  get latest(): readonly EarlySender[] {
    return [...this.#senders.values()].reverse();
  }

  /** From now on what is missing is fetched by `want`. */
  fetchBy(want: (peer: string) => void): void {
    this.#want = want;
  }

  /** Takes in what a worker says. */
  report(report: Report): void {
    if (report.type !== "early") return;
    const { hurry, now } = this.#options;
    hurry();
    const [first, second, third, fourth] = report.address;
    const address = formatAddress([first!, second!, third!, fourth!]);
    const chassis = this.#nameOf(address);
    this.#senders.delete(address);
    this.#senders.set(address, { chassis, address, atMs: now() });
    const [oldest] = this.#senders.keys();
    if (this.#senders.size > SENDERS_MAX) this.#senders.delete(oldest!);
    if (chassis !== null) this.#want(chassis);
  }

  #nameOf(address: string): string | null {
    const { chassis } = this.#options.store.snapshot();
    if (chassis !== this.#documents) {
      this.#documents = chassis;
      this.#names = new Map(
        chassis.map(({ name, value }) => {
          const underlay = parseAddress(value.underlay);
          return [underlay === null ? value.underlay : formatAddress(underlay), name] as const;
        }),
      );
    }
    return this.#names.get(address) ?? null;
  }
}
