/**
 * Follows how the other chassis are reached on the wire, by the kernel's routes and neighbours, for
 * the workers that send to them without it. Run by the control thread.
 *
 * The kernel tells when something changes; it is looked at from time to time as well. Only it
 * resolves and confirms neighbours: what it does not know goes by its sockets, which makes it ask,
 * and one that has gone stale while packets go to it is named to it as in use.
 */
import { type Neighbour, RouteTable } from "@rhone/netio/rtnetlink";
import { type TunnelPath, TunnelPaths, writePaths } from "@rhone/netio/tunnel-paths";
import { type Address, formatAddress, isIpv4, parseAddress } from "@rhone/wire/address";
import * as ethernet from "@rhone/wire/ethernet";

/** Longest time between two looks at everything, while the kernel says nothing. */
const REFRESH_MS = 1000;
/** A look may take this part of the control thread's time: with many peers, looks are rarer. */
const TIME_SHARE = 20;

export interface PathFinderOptions {
  readonly underlay: Address;
  /** The kernel's index of the underlay device: what goes by another one is not ours to send. */
  readonly device: number;
  /** Underlay addresses of the other chassis, as they are now. */
  readonly peers: () => readonly string[];
  /** Gets an image for the workers whenever a path has changed. */
  readonly publish: (image: SharedArrayBuffer) => void;
  /** Hears why the kernel could not be asked. */
  readonly onFailure: (error: Error) => void;
}

export class PathFinder {
  readonly #options: PathFinderOptions;
  readonly #table = new RouteTable();
  #image = new TunnelPaths(writePaths([]));
  #published = "";
  #found = 0;
  #wanted = 0;
  #refreshedAtMs = Number.NEGATIVE_INFINITY;
  #restsUntilMs = Number.NEGATIVE_INFINITY;
  #failure = "";
  #hasChanged = true;
  #isDeviceThere = true;

  constructor(options: PathFinderOptions) {
    this.#options = options;
  }

  /** Peers that have a path, of how many. */
  get reached(): { readonly found: number; readonly wanted: number } {
    return { found: this.#found, wanted: this.#wanted };
  }

  /** Whether the underlay device still is; another one of its name is not it. */
  get isDeviceThere(): boolean {
    return this.#isDeviceThere;
  }

  /** Looks whether something has changed, and publishes what has come of it. To be called often. */
  look(nowMs: number): void {
    if (this.#table.hasChanged()) this.#hasChanged = true;
    const peers = this.#peers();
    if (peers.length !== this.#wanted) this.#hasChanged = true;
    const isDue = this.#hasChanged || nowMs - this.#refreshedAtMs >= REFRESH_MS;
    if (!isDue || nowMs < this.#restsUntilMs) return;
    this.#hasChanged = false;
    this.#refreshedAtMs = nowMs;
    this.#wanted = peers.length;
    this.#publish(this.#findAll(peers));
    this.#restsUntilMs = nowMs + (performance.now() - nowMs) * TIME_SHARE;
  }

  close(): void {
    this.#table.close();
  }

  #peers(): Address[] {
    const { peers, underlay } = this.#options;
    return peers().flatMap((text) => {
      const address = parseAddress(text);
      return address !== null && isIpv4(address) === isIpv4(underlay) ? [address] : [];
    });
  }

  #findAll(peers: readonly Address[]): TunnelPath[] {
    try {
      const paths = this.#ask(peers);
      this.#failure = "";
      return paths;
    } catch (error) {
      // The sockets do without any path.
      const { message } = error as Error;
      if (message !== this.#failure) this.#options.onFailure(error as Error);
      this.#failure = message;
      return [];
    }
  }

  #ask(peers: readonly Address[]): TunnelPath[] {
    const { underlay, device } = this.#options;
    const link = this.#table.link(device);
    this.#isDeviceThere = link !== null;
    if (link?.mac == null) return [];
    const neighbours = new Map<string, Neighbour | null>();
    return peers.flatMap((address) => {
      const route = this.#table.route(underlay, address);
      if (route === null || route.device !== device) return [];
      const hop = route.gateway ?? address;
      const name = String(hop);
      if (!neighbours.has(name)) neighbours.set(name, this.#table.neighbour(device, hop));
      const neighbour = neighbours.get(name) ?? null;
      const isUsed = this.#takeUsed(address);
      if (neighbour === null) return [];
      if (neighbour.isStale && isUsed) this.#table.use(device, hop);
      const header = headerOf(neighbour.mac, link.mac!, isIpv4(address));
      return [{ address, mtu: route.mtu || link.mtu, header }];
    });
  }

  #takeUsed(address: Address): boolean {
    const row = this.#image.find(Int32Array.from(address), 0);
    return row >= 0 && this.#image.takeUsed(row);
  }

  #publish(paths: readonly TunnelPath[]): void {
    this.#found = paths.length;
    const text = paths
      .map(({ address, mtu, header }) => `${formatAddress(address)} ${mtu} ${header.join()}`)
      .join("\n");
    if (text === this.#published) return;
    this.#published = text;
    const image = writePaths(paths);
    this.#image = new TunnelPaths(image);
    this.#options.publish(image);
  }
}

function headerOf(to: Uint8Array, from: Uint8Array, isIpv4: boolean): Uint8Array {
  const header = new Uint8Array(ethernet.HEADER_SIZE);
  header.set(to, 0);
  header.set(from, to.length);
  const etherType = isIpv4 ? ethernet.ETHERTYPE_IPV4 : ethernet.ETHERTYPE_IPV6;
  ethernet.setEtherType(new DataView(header.buffer), 0, etherType);
  return header;
}
