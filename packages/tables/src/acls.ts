/**
 * Rules: which of a switch's, or of one port's, decides about a packet.
 *
 *   rule rows     [action, counter index, protocol, family, first and last source port, first and
 *                 last destination port, source words 0–3, length, destination words 0–3, length]
 *   list rows     one a datapath, then one a port: from-port [first member, count], then to-port
 *   member words  rule rows, ascending
 *
 * Rule rows stand in the order in which rules decide, so of two that match the smaller row does,
 * whichever list it is from. A prefix length is over the 128-bit form of the address.
 */
import { type AddressWords, IPV4_MAPPED } from "./ports.ts";
import { buildRows, Rows } from "./row-table.ts";

export const FROM_PORT = 0;
export const TO_PORT = 1;
export type Direction = typeof FROM_PORT | typeof TO_PORT;

export const ACTION_ALLOW = 0;
export const ACTION_ALLOW_STATELESS = 1;
export const ACTION_DROP = 2;
export const ACTION_REJECT = 3;

/** What a rule may ask of any packet. */
export const ANY_PROTOCOL = -1;
export const ANY_PORT: PortRange = { first: 0, last: 65535 };

export const NO_RULE = -1;

// Words of a query: what `find` is told of a packet.
export const QUERY_SOURCE = 0;
export const QUERY_DESTINATION = 4;
export const QUERY_PROTOCOL = 8;
/** Source port << 16 | destination port; 0 where the protocol has none. */
export const QUERY_PORTS = 9;
export const QUERY_WORDS = 10;

const ACTION = 0;
const COUNTER = 1;
const PROTOCOL = 2;
const FAMILY = 3;
const SOURCE_PORTS = 4;
const DESTINATION_PORTS = 6;
const SOURCE = 8;
const DESTINATION = 13;
const WIDTH = 18;
const LENGTH = 4; // Behind an address's words.
const ANY_FAMILY = 0;
const IPV4 = 4;
const IPV6 = 6;

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export interface AclPrefix {
  readonly address: AddressWords;
  /** 0–128 over the 128-bit form. */
  readonly length: number;
}

export interface AclRule {
  readonly direction: Direction;
  /** Row of the switch. */
  readonly datapath: number;
  /** Row of the one port that the rule is for, -1 for every port of the switch. */
  readonly port: number;
  readonly protocol: number;
  /** null: any, of either family. */
  readonly source: AclPrefix | null;
  readonly destination: AclPrefix | null;
  readonly sourcePorts: PortRange;
  readonly destinationPorts: PortRange;
  readonly action: number;
  /** -1: not counted. */
  readonly counter: number;
}

export interface AclImages {
  readonly aclRules: Int32Array;
  readonly aclLists: Int32Array;
  readonly aclMembers: Int32Array;
}

/** The words of `rules`, which stand in the order in which they decide. */
export function buildAcls(datapaths: number, ports: number, rules: readonly AclRule[]): AclImages {
  const lists = Array.from({ length: (datapaths + ports) * 2 }, (): number[] => []);
  for (const [row, { direction, datapath, port }] of rules.entries()) {
    lists[(port < 0 ? datapath : datapaths + port) * 2 + direction]!.push(row);
  }
  const members: number[][] = [];
  const listRows: number[][] = [];
  for (let i = 0; i < lists.length; i += 2) {
    const row: number[] = [];
    for (const list of [lists[i]!, lists[i + 1]!]) {
      row.push(members.length, list.length);
      for (const rule of list) members.push([rule]);
    }
    listRows.push(row);
  }
  return {
    aclRules: buildRows(WIDTH, rules.map(ruleRow)),
    aclLists: buildRows(4, listRows),
    aclMembers: buildRows(1, members),
  };
}

export class Acls {
  readonly #rules: Rows;
  readonly #lists: Rows;
  readonly #members: Rows;
  readonly #datapaths: number;

  constructor(rules: Int32Array, lists: Int32Array, members: Int32Array, datapaths: number) {
    this.#rules = new Rows(rules);
    this.#lists = new Rows(lists);
    this.#members = new Rows(members);
    this.#datapaths = datapaths;
  }

  /** Whether this generation has no rules at all. */
  get isEmpty(): boolean {
    return this.#rules.count === 0;
  }

  /**
   * Row of the rule that decides about the packet in `query[0..QUERY_WORDS)` at a port of a switch,
   * or NO_RULE.
   */
  find(direction: Direction, datapath: number, port: number, query: Int32Array): number {
    const own = this.#first(this.#datapaths + port, direction, query);
    const common = this.#first(datapath, direction, query);
    if (own === NO_RULE || common === NO_RULE) return Math.max(own, common);
    return Math.min(own, common);
  }

  action(row: number): number {
    return this.#rules.words[this.#rules.at(row) + ACTION]!;
  }

  /** -1 when the rule is not counted. */
  counter(row: number): number {
    return this.#rules.words[this.#rules.at(row) + COUNTER]!;
  }

  #first(list: number, direction: Direction, query: Int32Array): number {
    const at = this.#lists.at(list) + direction * 2;
    const first = this.#lists.words[at]!;
    const end = first + this.#lists.words[at + 1]!;
    if (end === first) return NO_RULE;
    const isMappedQuery = query[0] === 0 && query[1] === 0 && query[2] === IPV4_MAPPED;
    const family = isMappedQuery ? IPV4 : IPV6;
    for (let i = first; i < end; i++) {
      const row = this.#members.words[this.#members.at(i)]!;
      if (matches(this.#rules.words, this.#rules.at(row), family, query)) return row;
    }
    return NO_RULE;
  }
}

function matches(words: Int32Array, at: number, family: number, query: Int32Array): boolean {
  const protocol = words[at + PROTOCOL]!;
  if (protocol !== ANY_PROTOCOL && protocol !== query[QUERY_PROTOCOL]) return false;
  const wanted = words[at + FAMILY]!;
  if (wanted !== ANY_FAMILY && wanted !== family) return false;
  const ports = query[QUERY_PORTS]!;
  if (!isWithin(words, at + DESTINATION_PORTS, ports & 0xffff)) return false;
  if (!isWithin(words, at + SOURCE_PORTS, ports >>> 16)) return false;
  return (
    covers(words, at + DESTINATION, query, QUERY_DESTINATION) &&
    covers(words, at + SOURCE, query, QUERY_SOURCE)
  );
}

function isWithin(words: Int32Array, at: number, port: number): boolean {
  return port >= words[at]! && port <= words[at + 1]!;
}

function covers(words: Int32Array, at: number, query: Int32Array, from: number): boolean {
  for (let i = 0, left = words[at + LENGTH]!; left > 0; i++, left -= 32) {
    // A shift by 32 is a shift by 0 in JavaScript: a whole word has its own branch.
    const mask = left >= 32 ? -1 : -1 << (32 - left);
    if (((words[at + i]! ^ query[from + i]!) & mask) !== 0) return false;
  }
  return true;
}

function ruleRow(rule: AclRule): number[] {
  return [
    ...[rule.action, rule.counter, rule.protocol, familyOf(rule)],
    ...[rule.sourcePorts.first, rule.sourcePorts.last],
    ...[rule.destinationPorts.first, rule.destinationPorts.last],
    ...prefixWords(rule.source),
    ...prefixWords(rule.destination),
  ];
}

function prefixWords(prefix: AclPrefix | null): number[] {
  return prefix === null ? [0, 0, 0, 0, 0] : [...prefix.address, prefix.length];
}

function familyOf({ source, destination }: AclRule): number {
  const prefix = source ?? destination;
  if (prefix === null) return ANY_FAMILY;
  const { address, length } = prefix;
  const isMapped = address[0] === 0 && address[1] === 0 && address[2] === IPV4_MAPPED;
  return isMapped && length >= 96 ? IPV4 : IPV6;
}
