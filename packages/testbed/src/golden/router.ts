/**
 * The golden router: what the sixteen stages do to a packet, in plain objects and one after the
 * other, over the desired state itself. The property tests hold the product against it.
 *
 * It has no limits: no rates, no full tables, no full rings. The tests stay below those.
 */
import type { DropReasonName } from "@rhone/rings/drop-reason";
import { putHex } from "./bytes.ts";
import { Connections, type Finding, isTracked, portsOf, tupleOf } from "./connections.ts";
import { Fragments } from "./fragments.ts";
import { headersOf } from "./headers.ts";
import { errorAbout } from "./icmp-error.ts";
import { switchFrame } from "./l2.ts";
import type { GoldenNetwork, GoldenPort } from "./network.ts";
import { admit, mayReceive } from "./port-security.ts";
import { type Hop, route } from "./routing.ts";

const STAGES = 16;
const PORT_SECURITY = 0;
const PRE_ACL = 1;
const STATEFUL = 5;
const L2 = 6;
const ROUTING = 7;
const POST_ROUTING = 8;
const EGRESS_PRE_ACL = 10;
const EGRESS_STATEFUL = 13;
const EGRESS_PORT_SECURITY = 14;
const OUTPUT = 15;

export interface Delivery {
  readonly port: string;
  readonly bytes: Buffer;
}

export interface Drop {
  readonly chassis: string;
  readonly stage: number;
  readonly reason: DropReasonName;
}

/** What became of one frame. */
export interface Outcome {
  readonly deliveries: Delivery[];
  readonly drops: Drop[];
}

export interface GoldenOptions {
  /** Largest inner IP packet that the tunnel carries, bytes. */
  readonly tunnelMtu: number;
  /** How many copies of a frame arrive of what one chassis sends another; 1 when not given. */
  readonly copies?: (from: string, to: string, bytes: Uint8Array) => number;
}

/** Source and destination port of a packet; null when it is a fragment that does not know them. */
type Ports = readonly [number, number] | null;

export class GoldenRouter {
  readonly network: GoldenNetwork;
  readonly connections = new Connections();
  readonly #fragments = new Fragments();
  readonly #options: GoldenOptions;
  readonly #packets = new Map<string, number[]>();
  #outcome: Outcome = { deliveries: [], drops: [] };
  #nowMs = 0;

  constructor(network: GoldenNetwork, options: GoldenOptions) {
    this.network = network;
    this.#options = options;
  }

  /** Packets that ran each stage at a chassis. */
  packets(chassis: string): readonly number[] {
    return this.#packets.get(chassis) ?? new Array<number>(STAGES).fill(0);
  }

  /** A frame from the device of a port; time never goes back. */
  receive(portName: string, frame: Uint8Array, nowMs: number): Outcome {
    this.#nowMs = nowMs;
    this.#outcome = { deliveries: [], drops: [] };
    const port = this.network.port(portName);
    const bytes = Buffer.from(frame);
    this.#count(port.chassis!, PORT_SECURITY);
    const reason = admit(port, bytes);
    if (reason !== null) this.#drop(port.chassis!, PORT_SECURITY, reason);
    else this.#fromPort(port, bytes);
    return this.#outcome;
  }

  /** Stages 1 to 5: the connection of the sender. */
  #fromPort(port: GoldenPort, bytes: Buffer): void {
    const here = port.chassis!;
    this.#count(here, PRE_ACL);
    if (!isTracked(bytes)) {
      this.#countAll(here, PRE_ACL + 1, STATEFUL);
      this.#fromSwitch(port, bytes, null);
      return;
    }
    const ports = this.#fragments.resolve(here, port.switch, bytes, this.#nowMs);
    if (ports === null) {
      this.#drop(here, PRE_ACL, "fragment-orphan");
      return;
    }
    const finding = this.connections.lookUp(port.name, bytes, tupleOf(bytes, ports), this.#nowMs);
    this.#countAll(here, PRE_ACL + 1, STATEFUL);
    this.#commit(port, bytes, ports, finding);
    this.#fromSwitch(port, bytes, ports);
  }

  #commit(port: GoldenPort, bytes: Buffer, ports: Ports, { kind }: Finding): void {
    if (kind !== "new" && kind !== "established") return;
    this.connections.commit(port.name, bytes, tupleOf(bytes, ports), this.#nowMs);
  }

  /** Stages 6 and 7, at the chassis of the sender. */
  #fromSwitch(port: GoldenPort, bytes: Buffer, ports: Ports): void {
    const here = port.chassis!;
    this.#count(here, L2);
    const decision = switchFrame(this.network, port, bytes);
    if (decision.kind === "drop") {
      this.#drop(here, L2, decision.reason);
      return;
    }
    this.#count(here, ROUTING);
    if (decision.kind === "flood") {
      this.#floodFrom(here, port, bytes);
      return;
    }
    const isAnswer = decision.kind === "answer";
    const outPort = isAnswer ? port : decision.port;
    const atSwitch = { bytes: isAnswer ? decision.bytes : bytes, inPort: port, outPort, isAnswer };
    const { hop, drops } = route(this.network, atSwitch);
    for (const reason of drops) this.#drop(here, ROUTING, reason);
    if (hop !== null) this.#cross(port, hop, ports);
  }

  /** Stage 8: to the chassis that has the destination. */
  #cross(sender: GoldenPort, { inPort, outPort, isAnswer, bytes }: Hop, ports: Ports): void {
    const here = sender.chassis!;
    if (outPort === inPort && !isAnswer) {
      this.#endHere(here, "destination-is-source");
    } else if (outPort.chassis === null) {
      this.#endHere(here, "destination-unbound");
    } else if (outPort.chassis === here) {
      this.#toPort(outPort, bytes, ports);
    } else if (this.#fits(bytes)) {
      for (const copy of this.#send(here, outPort.chassis, bytes))
        this.#toPort(outPort, copy, null);
    } else {
      this.#refuseTooBig(sender, bytes);
    }
  }

  #endHere(here: string, reason: DropReasonName): void {
    this.#count(here, POST_ROUTING);
    this.#drop(here, POST_ROUTING, reason);
  }

  /** Who may not be cut is told how much the tunnel carries (RFC 1191, RFC 8201). */
  #refuseTooBig(sender: GoldenPort, bytes: Buffer): void {
    const here = sender.chassis!;
    this.#drop(here, POST_ROUTING, "too-big");
    const { ip } = headersOf(bytes);
    const error = ip?.dontFragment
      ? errorAbout(bytes, "too-big", ip.destination, this.#options.tunnelMtu)
      : null;
    if (error === null) {
      this.#count(here, POST_ROUTING);
      return;
    }
    putHex(error, 0, sender.mac);
    this.#toPort(sender, error, null);
  }

  #fits(bytes: Buffer): boolean {
    return bytes.length - 14 <= this.#options.tunnelMtu;
  }

  /** Stage 8 of a packet for many: a copy to each other chassis and to each port here. */
  #floodFrom(here: string, inPort: GoldenPort, bytes: Buffer): void {
    const members = this.network.workloadsOf(inPort.switch);
    for (const there of new Set(members.map(({ chassis }) => chassis))) {
      if (there === null || there === here) continue;
      if (!this.#fits(bytes)) this.#drop(here, POST_ROUTING, "too-big");
      else for (const copy of this.#send(here, there, bytes)) this.#floodAt(there, inPort, copy);
    }
    this.#floodAt(here, inPort, bytes);
  }

  #floodAt(here: string, inPort: GoldenPort, bytes: Buffer): void {
    for (const port of this.network.workloadsOf(inPort.switch)) {
      if (port.chassis === here && port.hasDevice && port !== inPort) {
        this.#toPort(port, bytes, null);
      }
    }
  }

  /** Stages 8 to 13, at the chassis of the receiver: the connection of the receiver. */
  #toPort(port: GoldenPort, bytes: Buffer, known: Ports): void {
    const here = port.chassis!;
    this.#countAll(here, POST_ROUTING, EGRESS_PRE_ACL);
    if (isTracked(bytes)) {
      const ports = this.#portsAtReceiver(port, bytes, known);
      if (ports === null) {
        this.#drop(here, EGRESS_PRE_ACL, "fragment-orphan");
        return;
      }
      const finding = this.connections.lookUp(port.name, bytes, tupleOf(bytes, ports), this.#nowMs);
      this.#commit(port, bytes, ports, finding);
    }
    this.#countAll(here, EGRESS_PRE_ACL + 1, EGRESS_STATEFUL);
    this.#output(port, bytes);
  }

  /** Ports that are known stay with a fragment on its chassis; another one has to find them out. */
  #portsAtReceiver(port: GoldenPort, bytes: Buffer, known: Ports): Ports {
    const ip = headersOf(bytes).ip!;
    if (!ip.isFragment) return portsOf(bytes, ip);
    return known ?? this.#fragments.resolve(port.chassis!, port.switch, bytes, this.#nowMs);
  }

  /** Stages 14 and 15. */
  #output(port: GoldenPort, bytes: Buffer): void {
    const here = port.chassis!;
    this.#count(here, EGRESS_PORT_SECURITY);
    const reason = mayReceive(port, headersOf(bytes));
    if (reason !== null) {
      this.#drop(here, EGRESS_PORT_SECURITY, reason);
      return;
    }
    this.#count(here, OUTPUT);
    if (port.hasDevice) this.#outcome.deliveries.push({ port: port.name, bytes });
    else this.#drop(here, OUTPUT, "device-down");
  }

  /** What arrives at the other end of the tunnel. */
  #send(from: string, to: string, bytes: Buffer): Buffer[] {
    const count = this.#options.copies?.(from, to, bytes) ?? 1;
    return Array.from({ length: count }, () => Buffer.from(bytes));
  }

  #count(chassis: string, stage: number): void {
    let packets = this.#packets.get(chassis);
    if (packets === undefined) {
      packets = new Array<number>(STAGES).fill(0);
      this.#packets.set(chassis, packets);
    }
    packets[stage]!++;
  }

  #countAll(chassis: string, first: number, last: number): void {
    for (let stage = first; stage <= last; stage++) this.#count(chassis, stage);
  }

  #drop(chassis: string, stage: number, reason: DropReasonName): void {
    this.#outcome.drops.push({ chassis, stage, reason });
  }
}
