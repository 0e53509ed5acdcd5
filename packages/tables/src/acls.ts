/**
 * Rules: which of a switch's, or of one port's, decides about a packet.
 *
 *   rule rows   [action, counter index]
 *   list rows   one a datapath, then one a port: the lists of its rules from-port and to-port;
 *               those behind the last one with a rule are left out
 *   blocks      the lists, see acl-blocks.ts
 *
 * Rule rows stand in the order in which rules decide, so of two that match the smaller row does,
 * whichever list it is from.
 */
import { AclBlocksBuilder, findFirst } from "./acl-blocks.ts";
import type { AddressWords } from "./ports.ts";
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

const RULE_WIDTH = 2;
const ACTION = 0;
const COUNTER = 1;

const LIST_WIDTH = 2;

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export interface AclPrefix {
  readonly address: AddressWords;
  /** 0–128 over the 128-bit form. */
  readonly length: number;
}

/** Any of these, and no other; none suits no packet. */
export interface AclAddresses {
  readonly addresses: readonly AddressWords[];
}

export type AclEnd = AclPrefix | AclAddresses | null;

export interface AclRule {
  readonly direction: Direction;
  /** Row of the switch. */
  readonly datapath: number;
  /** Row of the one port that the rule is for, -1 for every port of the switch. */
  readonly port: number;
  readonly protocol: number;
  /** null: any, of either family. */
  readonly source: AclEnd;
  readonly destination: AclEnd;
  readonly sourcePorts: PortRange;
  readonly destinationPorts: PortRange;
  readonly action: number;
  /** -1: not counted. */
  readonly counter: number;
}

export interface AclImages {
  readonly aclRules: Int32Array;
  readonly aclLists: Int32Array;
  readonly aclBlocks: Int32Array;
}

/** The words of `rules`, which stand in the order in which they decide. */
export function buildAcls(datapaths: number, rules: readonly AclRule[]): AclImages {
  const places = rules.map(({ datapath, port }) => (port < 0 ? datapath : datapaths + port));
  const length = places.reduce((most, place) => Math.max(most, place + 1), 0);
  const lists = Array.from({ length }, (): [number[], number[]] => [[], []]);
  for (const [row, { direction }] of rules.entries()) lists[places[row]!]![direction].push(row);
  const blocks = new AclBlocksBuilder(rules);
  const listRows = lists.map((pair) => pair.map((rows) => blocks.add(rows)));
  return {
    aclRules: buildRows(
      RULE_WIDTH,
      rules.map(({ action, counter }) => [action, counter]),
    ),
    aclLists: buildRows(LIST_WIDTH, listRows),
    aclBlocks: blocks.build(),
  };
}

export class Acls {
  readonly #rules: Rows;
  readonly #lists: Rows;
  readonly #blocks: Int32Array;
  readonly #datapaths: number;

  constructor(rules: Int32Array, lists: Int32Array, blocks: Int32Array, datapaths: number) {
    this.#rules = new Rows(RULE_WIDTH, rules);
    this.#lists = new Rows(LIST_WIDTH, lists);
    this.#blocks = blocks;
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

  #first(row: number, direction: Direction, query: Int32Array): number {
    if (row >= this.#lists.count) return NO_RULE;
    const list = this.#lists.words[this.#lists.at(row) + direction]!;
    if (list === 0) return NO_RULE;
    const ports = query[QUERY_PORTS]!;
    const protocol = query[QUERY_PROTOCOL]!;
    return findFirst(this.#blocks, list, query, ports >>> 16, ports & 0xffff, protocol);
  }
}
