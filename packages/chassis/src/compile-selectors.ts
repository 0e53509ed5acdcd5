/**
 * Which addresses the selectors of rules mean: those of the ports that have the labels, in the
 * rule's switch and in all that routers join to it. Part of `compile`, and pure like it.
 *
 * No number that came with a packet says who sent it; what this chassis knows of the ports does.
 */
import { type Labels, selects } from "@rhone/state/labels";
import type { AclAddresses } from "@rhone/tables/acls";
import {
  type Address,
  isIpv4,
  type Prefix,
  parsePrefix,
  prefixContains,
} from "@rhone/wire/address";
import type { NamedPort } from "./compile-ports.ts";

/** What one end of a rule asks for. */
export interface Selection {
  readonly selector: Labels;
  readonly prefix: string | undefined;
  /**
   * Of an address that several ports have, which only a peer's merge can bring about: whether all
   * of them must be selected. So it is for rules that let pass; what stops needs one.
   */
  readonly needsAll: boolean;
}

/** The ports that have one address, where it means the same. */
interface Held {
  readonly address: Address;
  readonly ports: NamedPort[];
}
/** By "key=value": the addresses of all ports with that label. */
type HeldByLabel = Map<string, Set<Held>>;

export class Selectors {
  readonly #ports: readonly NamedPort[];
  /** By datapath row: the row that stands for all that routers join. */
  readonly #network: Int32Array;
  #held: ReadonlyMap<number, HeldByLabel> | null = null;
  readonly #known = new Map<string, AclAddresses>();

  /** `ports` are all rows of ports, `datapaths` counts switches and routers. */
  constructor(ports: readonly NamedPort[], datapaths: number) {
    this.#ports = ports;
    this.#network = networksOf(ports, datapaths);
  }

  /** The same object for the same question. */
  addressesOf(datapath: number, { selector, prefix, needsAll }: Selection): AclAddresses {
    const question = JSON.stringify([datapath, selector, prefix, needsAll]);
    const known = this.#known.get(question);
    if (known !== undefined) return known;
    const network = prefix === undefined ? null : parsePrefix(prefix);
    this.#held ??= heldByScope(this.#ports, this.#network);
    const found: Address[] = [];
    for (const scope of [this.#network[datapath]!, linkScope(datapath)]) {
      for (const { address, ports } of fewestOf(this.#held.get(scope), selector)) {
        const isSelected = ({ labels }: NamedPort): boolean =>
          labels !== null && selects(selector, labels);
        if (needsAll ? !ports.every(isSelected) : !ports.some(isSelected)) continue;
        if (network === null || holds(network, address)) found.push(address);
      }
    }
    const addresses = { addresses: found };
    this.#known.set(question, addresses);
    return addresses;
  }
}

function heldByScope(
  all: readonly NamedPort[],
  network: Int32Array,
): ReadonlyMap<number, HeldByLabel> {
  const byAddress = new Map<string, Held>();
  const scopes = new Map<number, HeldByLabel>();
  for (const port of all) {
    if (port.labels === null) continue;
    const labels = Object.entries(port.labels).map(([key, value]) => `${key}=${value}`);
    for (const address of port.addresses) {
      // A link-local address means something in its own switch only (RFC 4291 §2.5.6).
      const scope = isLinkLocal(address) ? linkScope(port.datapath) : network[port.datapath]!;
      const key = `${scope} ${address.join()}`;
      const held = byAddress.get(key) ?? { address, ports: [] };
      byAddress.set(key, held);
      held.ports.push(port);
      const byLabel: HeldByLabel = scopes.get(scope) ?? new Map();
      scopes.set(scope, byLabel);
      for (const label of labels) {
        const alike = byLabel.get(label);
        if (alike === undefined) byLabel.set(label, new Set([held]));
        else alike.add(held);
      }
    }
  }
  return scopes;
}

const NOBODY: ReadonlySet<Held> = new Set();

/** Those with the rarest of the labels: whoever has all of them is among them. */
function fewestOf(byLabel: HeldByLabel | undefined, selector: Labels): ReadonlySet<Held> {
  const sets = Object.entries(selector).map(
    ([key, value]) => byLabel?.get(`${key}=${value}`) ?? NOBODY,
  );
  return sets.reduce((fewest, set) => (set.size < fewest.size ? set : fewest));
}

/** Of the link-local addresses of a switch: apart from all networks. */
function linkScope(datapath: number): number {
  return -1 - datapath;
}

function networksOf(ports: readonly NamedPort[], datapaths: number): Int32Array {
  const parents = Int32Array.from({ length: datapaths }, (_, row) => row);
  const rootOf = (row: number): number => {
    let root = row;
    while (parents[root] !== root) root = parents[root]!;
    parents[row] = root;
    return root;
  };
  for (const { datapath, router } of ports) {
    if (router >= 0) parents[rootOf(datapath)] = rootOf(router);
  }
  return parents.map((_, row) => rootOf(row));
}

function isLinkLocal(address: Address): boolean {
  return address[0] >>> 22 === 0xfe80 >>> 6;
}

/** A prefix of IPv6 holds no IPv4 address, however short it is. */
function holds(prefix: Prefix, address: Address): boolean {
  const isPrefixV4 = isIpv4(prefix.address) && prefix.length >= 96;
  return isPrefixV4 === isIpv4(address) && prefixContains(prefix, address);
}
