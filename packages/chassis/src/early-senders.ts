/**
 * Other chassis whose packets name what this one does not know yet: what they hold is fetched, and
 * compiled at once, while the packets wait in the workers (early-packets.ts). Runs on the control
 * thread.
 */
import type { Report } from "@rhone/dataplane-worker/plan";
import type { Store } from "@rhone/state/store";
import { formatAddress, parseAddress } from "@rhone/wire/address";

export interface EarlySendersOptions {
  readonly store: Store;
  /** Compiles what is known, and what comes soon, without a pause. */
  readonly hurry: () => void;
}

export class EarlySenders {
  readonly #options: EarlySendersOptions;
  #want: (peer: string) => void = () => {};

  constructor(options: EarlySendersOptions) {
    this.#options = options;
  }

  /** From now on what is missing is fetched by `want`. */
  fetchBy(want: (peer: string) => void): void {
    this.#want = want;
  }

  /** Takes in what a worker says. */
  report(report: Report): void {
    if (report.type !== "early") return;
    const { store, hurry } = this.#options;
    hurry();
    const [first, second, third, fourth] = report.address;
    const address = formatAddress([first!, second!, third!, fourth!]);
    const sender = store.snapshot().chassis.find(({ value }) => {
      const underlay = parseAddress(value.underlay);
      return underlay !== null && formatAddress(underlay) === address;
    });
    if (sender !== undefined) this.#want(sender.name);
  }
}
