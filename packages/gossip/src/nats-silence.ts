/**
 * Finds peers that fell silent over NATS, and has the route to them laid anew. Runs on the control
 * thread.
 *
 * When the network between two chassis fails without a word, their nats-servers keep a connection
 * that nothing gets through. Those before 2.9.16 ask after it only when they have nothing to say
 * themselves, which is never the case here: the connection is given up when TCP does, or goes on
 * when TCP tries again, and by then it tries as rarely as the failure was long. Until that, a new
 * connection is refused as a second one. So both chassis give it up, each by what it hears, and
 * their servers are together again as soon as they reach each other.
 *
 * Looks are counted, not milliseconds: we may have been stalled ourselves. And silence may have
 * other reasons, that of a dead chassis for instance: it is a reason again when it has become twice
 * as long, which costs next to nothing, however long it lasts.
 */
import type { Endpoint } from "./nats-layout.ts";
import type { SetTimer } from "./transport.ts";

const LOOK_INTERVAL_MS = 500;
/** The first time; 2 s after messages are missed, which itself takes 2.5 s. */
const SILENT_LOOKS = 4;

/** A peer whose nats-server ours is to have a route to. */
export interface RoutedPeer {
  readonly name: string;
  readonly route: Endpoint;
  /** Whether messages of it have come over NATS of late. */
  readonly isHeard: boolean;
}

export interface NatsSilenceOptions {
  /** Null while we are not connected to our own server, and could hear nobody. */
  readonly look: () => readonly RoutedPeer[] | null;
  /** Gives up what there is of these routes, and begins them anew. */
  readonly renew: (routes: readonly Endpoint[]) => void;
  readonly setTimer: SetTimer;
}

export class NatsSilence {
  readonly #options: NatsSilenceOptions;
  /** Of each peer that was heard: how many looks in a row have found it silent. */
  #silentLooks = new Map<string, number>();
  #cancel: () => void = () => {};

  /** Looks until `stop`. */
  constructor(options: NatsSilenceOptions) {
    this.#options = options;
    this.#schedule();
  }

  stop(): void {
    this.#cancel();
    this.#cancel = () => {};
  }

  #schedule(): void {
    this.#cancel = this.#options.setTimer(() => {
      this.#schedule();
      this.#look();
    }, LOOK_INTERVAL_MS);
  }

  #look(): void {
    const peers = this.#options.look();
    if (peers === null) return;
    const before = this.#silentLooks;
    this.#silentLooks = new Map();
    const silent: Endpoint[] = [];
    for (const { name, route, isHeard } of peers) {
      const count = isHeard ? 0 : before.get(name);
      if (count === undefined) continue; // It has not been heard yet.
      this.#silentLooks.set(name, isHeard ? 0 : count + 1);
      if (!isHeard && isReason(count + 1)) silent.push(route);
    }
    if (silent.length > 0) this.#options.renew(silent);
  }
}

/** At 4 looks, 8, 16, 32, … */
function isReason(looks: number): boolean {
  return looks >= SILENT_LOOKS && Number.isInteger(Math.log2(looks / SILENT_LOOKS));
}
