/**
 * Load balancers: which backends stand behind an address (VIP) in a switch, and which of them
 * serves a flow. Read by the workers, for first packets of flows.
 *
 *   VIP, one a switch that it serves: [first backend, backends, FLAG_…]
 *   backend: [address × 4, port (0: the packet's own), seed]
 *
 * A flow's backend is the one with the greatest hash of flow and backend (rendezvous hashing;
 * Thaler and Ravishankar, 1998): every chassis finds the same one without having heard of the flow,
 * and a backend that comes or goes moves no flow but those that it serves.
 */
import { buildExactTable, type ExactEntry, type ExactImage, ExactTable } from "./exact-table.ts";
import type { AddressWords } from "./ports.ts";
import { buildRows, Rows } from "./row-table.ts";

/** Without backends the sender is told, else not. */
export const FLAG_REJECTS = 1;
export const NO_BACKEND = -1;

const VIP_WIDTH = 3;
const FIRST_BACKEND = 0;
const BACKEND_COUNT = 1;
const FLAGS = 2;

const BACKEND_WIDTH = 6;
const BACKEND_PORT = 4;
const SEED = 5;

export interface BackendRow {
  readonly address: AddressWords;
  /** 0: the port that the packet was sent to. */
  readonly port: number;
}

export interface VipRow {
  /** Row of the switch. */
  readonly datapath: number;
  readonly address: AddressWords;
  /** Number of the protocol and the port; both 0 for every packet to the address. */
  readonly protocol: number;
  readonly servicePort: number;
  readonly backends: readonly BackendRow[];
  readonly rejects: boolean;
}

export interface LoadBalancerSections {
  readonly vips: Int32Array;
  readonly backends: Int32Array;
  readonly vipByService: ExactImage;
  readonly vipByBackend: ExactImage;
}

/** The words of the sections; of two VIPs with one service the first wins. */
export function buildLoadBalancers(vips: readonly VipRow[]): LoadBalancerSections {
  const backends: number[][] = [];
  const rows = vips.map(({ backends: own, rejects }) => {
    const first = backends.length;
    for (const { address, port } of own) backends.push([...address, port, seedOf(address, port)]);
    return [first, own.length, rejects ? FLAG_REJECTS : 0];
  });
  const entries: ExactEntry[] = vips.map(({ datapath, protocol, servicePort, address }, value) => ({
    key: [datapath, (protocol << 16) | servicePort, ...address],
    value,
  }));
  return {
    vips: buildRows(VIP_WIDTH, rows),
    backends: buildRows(BACKEND_WIDTH, backends),
    vipByService: buildExactTable(6, entries),
    vipByBackend: buildExactTable(5, backendEntries(vips)),
  };
}

/** One for each address of a backend in each switch. */
function backendEntries(vips: readonly VipRow[]): ExactEntry[] {
  const entries = new Map<string, ExactEntry>();
  for (const [value, { datapath, backends }] of vips.entries()) {
    for (const { address } of backends) {
      const key = [datapath, ...address];
      const name = key.join(" ");
      if (!entries.has(name)) entries.set(name, { key, value });
    }
  }
  return [...entries.values()];
}

export class LoadBalancers {
  readonly #vips: Rows;
  readonly #backends: Rows;
  readonly #vipByService: ExactTable;
  readonly #vipByBackend: ExactTable;

  constructor({ vips, backends, vipByService, vipByBackend }: LoadBalancerSections) {
    this.#vips = new Rows(VIP_WIDTH, vips);
    this.#backends = new Rows(BACKEND_WIDTH, backends);
    this.#vipByService = new ExactTable(vipByService);
    this.#vipByBackend = new ExactTable(vipByBackend);
  }

  get isEmpty(): boolean {
    return this.#vips.count === 0;
  }

  /**
   * The VIP that a packet is for, or NOT_FOUND. `key` has its switch's row in word 0 and its
   * destination address from word 2 on; word 1 is written here. The more exact service wins.
   */
  find(key: Int32Array, protocol: number, port: number): number {
    key[1] = (protocol << 16) | port;
    const exact = this.#vipByService.find(key);
    if (exact >= 0) return exact;
    key[1] = 0;
    return this.#vipByService.find(key);
  }

  /**
   * Whether an address is that of a backend of any VIP in a switch. `key` has the switch's row in
   * word 0, and the address from word 1 on.
   */
  isBackend(key: Int32Array): boolean {
    return this.#vipByBackend.find(key) >= 0;
  }

  /**
   * Number within the VIP of the backend that serves the flow with this hash, or NO_BACKEND. One
   * with the address in `except` is passed over.
   */
  choose(vip: number, flow: number, except: Int32Array): number {
    const first = this.#vip(vip, FIRST_BACKEND);
    const count = this.#vip(vip, BACKEND_COUNT);
    const { words } = this.#backends;
    let chosen = NO_BACKEND;
    let greatest = 0;
    for (let number = 0; number < count; number++) {
      const at = this.#backends.at(first + number);
      const weight = mix(flow ^ words[at + SEED]!);
      if (chosen !== NO_BACKEND && weight <= greatest) continue;
      if (isAddressAt(words, at, except)) continue;
      chosen = number;
      greatest = weight;
    }
    return chosen;
  }

  backendCount(vip: number): number {
    return this.#vip(vip, BACKEND_COUNT);
  }

  rejects(vip: number): boolean {
    return (this.#vip(vip, FLAGS) & FLAG_REJECTS) !== 0;
  }

  /** Word `word` (0–3) of the address of a VIP's backend. */
  backendWord(vip: number, number: number, word: number): number {
    return this.#backends.words[this.#backendAt(vip, number) + word]!;
  }

  backendPort(vip: number, number: number): number {
    return this.#backends.words[this.#backendAt(vip, number) + BACKEND_PORT]!;
  }

  #vip(row: number, field: number): number {
    return this.#vips.words[this.#vips.at(row) + field]!;
  }

  #backendAt(vip: number, number: number): number {
    return this.#backends.at(this.#vip(vip, FIRST_BACKEND) + number);
  }
}

function isAddressAt(words: Int32Array, at: number, address: Int32Array): boolean {
  for (let i = 0; i < 4; i++) if (words[at + i] !== address[i]) return false;
  return true;
}

/** Of what the backend is, not where it stands in a list. */
function seedOf(address: AddressWords, port: number): number {
  return address.reduce((hash, word) => mix(hash ^ word), mix(port + 1));
}

/** The finaliser of MurmurHash3. */
function mix(value: number): number {
  let hash = value | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) | 0;
}
