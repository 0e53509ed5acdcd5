/**
 * The golden router: what the sixteen stages do to a packet, in plain objects and one after the
 * other, over the desired state itself. The property tests hold the product against it.
 *
 * It has no limits: no rates, no full tables, no full rings. The tests stay below those.
 */
import type { DropReasonName } from "@rhone/rings/drop-reason";
import { putHex } from "./bytes.ts";
import {
  type Connection,
  Connections,
  type Finding,
  isTracked,
  portsOf,
  tupleOf,
} from "./connections.ts";
import { Fragments } from "./fragments.ts";
import { headersOf, type IpHeader, TCP, UDP } from "./headers.ts";
import { errorAbout } from "./icmp-error.ts";
import { switchFrame } from "./l2.ts";
import {
  type Choice,
  choose,
  type End,
  isBalanced,
  isConflict,
  isForward,
  isSameEnd,
  serviceOf,
} from "./load-balancing.ts";
import type { GoldenNetwork, GoldenPort } from "./network.ts";
import { admit, mayReceive } from "./port-security.ts";
import { answerTo } from "./reject.ts";
import { type Hop, route } from "./routing.ts";
import { type Judgement, judge } from "./rules.ts";
import * as stages from "./stages.ts";
import { withEnd, withQuotedEnd } from "./translation.ts";

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

/** What is known of a packet that comes to its port's chassis. */
interface Arrival {
  readonly ports: Ports;
  /** An answer that was made here: it is not answered again. */
  readonly isAnswer: boolean;
  /** The answer to what a rule rejected on its way from the port: rules have no say in it. */
  readonly isFree: boolean;
}

/** What goes on from a port to its switch. */
interface Sent {
  readonly bytes: Buffer;
  readonly ports: Ports;
  readonly isTranslated: boolean;
}

const CROSSED: Arrival = { ports: null, isAnswer: false, isFree: false };

/** Of what is not tracked only a first fragment has ports. */
function untrackedPorts(bytes: Buffer, ip: IpHeader): readonly [number, number] {
  return ip.transportAt === null ? [0, 0] : portsOf(bytes, ip);
}

export class GoldenRouter {
  /** Changes between two packets. */
  network: GoldenNetwork;
  readonly connections = new Connections();
  /** How often each rule decided, by chassis and rule. */
  readonly ruleHits = new Map<string, number>();
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
    return this.#packets.get(chassis) ?? new Array<number>(stages.STAGES).fill(0);
  }

  /** Another one comes in the place of a chassis, and knows no connection. */
  crash(chassis: string, nowMs: number): void {
    const own = this.network.ports.filter((port) => port.chassis === chassis);
    for (const { name } of own) this.connections.forget(name, nowMs);
  }

  /** A frame from the device of a port; time never goes back. */
  receive(portName: string, frame: Uint8Array, nowMs: number): Outcome {
    this.#nowMs = nowMs;
    this.#outcome = { deliveries: [], drops: [] };
    const port = this.network.port(portName);
    const bytes = Buffer.from(frame);
    this.#count(port.chassis!, stages.PORT_SECURITY);
    const reason = admit(port, bytes);
    if (reason !== null) this.#drop(port.chassis!, stages.PORT_SECURITY, reason);
    else this.#fromPort(port, bytes);
    return this.#outcome;
  }

  /** Stages 1 to 5: the connection of the sender, and the rules for it. */
  #fromPort(port: GoldenPort, bytes: Buffer): void {
    const here = port.chassis!;
    this.#count(here, stages.PRE_ACL);
    let ports: Ports = null;
    let finding: Finding | null = null;
    if (isTracked(bytes)) {
      ports = this.#fragments.resolve(here, port.switch, bytes, this.#nowMs);
      if (ports === null) {
        this.#drop(here, stages.PRE_ACL, "fragment-orphan");
        return;
      }
      finding = this.connections.lookUp(port.name, bytes, tupleOf(bytes, ports), this.#nowMs);
      if (isConflict(finding)) {
        this.#drop(here, stages.PRE_ACL, "translation-conflict");
        return;
      }
    }
    this.#count(here, stages.ACL);
    const judgement = this.#judge("from-port", port, bytes, ports, finding);
    if (judgement === "acl-drop" || judgement === "acl-reject" || judgement === "acl-blocked") {
      this.#drop(here, stages.ACL, judgement);
      const answer = judgement === "acl-reject" && finding !== null ? answerTo(bytes) : null;
      if (answer !== null)
        this.#toPort(port, answer, { ports: null, isAnswer: true, isFree: true });
      return;
    }
    this.#countAll(here, stages.QOS, stages.LOAD_BALANCING);
    const isCommitted = judgement === "passes" && finding !== null;
    const backend = isCommitted ? this.#balance(port, bytes, ports, finding!) : "none";
    if (backend === "refused") return;
    this.#count(here, stages.STATEFUL);
    if (!isCommitted) {
      this.#fromSwitch(port, bytes, ports, isBalanced(finding));
      return;
    }
    const sent = this.#commitFrom(port, { bytes, ports }, finding!, backend);
    if (sent !== null) this.#fromSwitch(port, sent.bytes, sent.ports, sent.isTranslated);
  }

  /** Stage 4: the backend of a new connection to a load balancer. */
  #balance(port: GoldenPort, bytes: Buffer, ports: Ports, finding: Finding): Choice {
    const { kind, isReply } = finding;
    if (kind !== "new" || isReply || isBalanced(finding)) return "none";
    const tuple = tupleOf(bytes, ports);
    const service = serviceOf(this.network.loadBalancers, port.switch, tuple);
    if (service === null) return "none";
    const backend = choose(service, tuple);
    if (backend !== null) return backend;
    this.#drop(port.chassis!, stages.LOAD_BALANCING, "lb-no-backend");
    const answer = service.rejects ? answerTo(bytes) : null;
    if (answer !== null) this.#toPort(port, answer, { ports: null, isAnswer: true, isFree: true });
    return "refused";
  }

  /** Stage 5: what goes on to the switch; null when nothing does. */
  #commitFrom(
    port: GoldenPort,
    { bytes, ports }: { readonly bytes: Buffer; readonly ports: Ports },
    finding: Finding,
    backend: Choice,
  ): Sent | null {
    const sent = { bytes, ports, isTranslated: isBalanced(finding) };
    const { kind, isReply } = finding;
    if (kind === "related" && !isReply && isBalanced(finding)) {
      const { end } = finding.connection!.translation!;
      return { ...sent, bytes: withQuotedEnd(bytes, "destination", "source", end) };
    }
    const connection = this.#commit(port, bytes, ports, finding);
    if (connection === null || isReply) return sent;
    if (typeof backend === "object" && !isForward(connection)) {
      connection.translation = { isReverse: false, end: backend };
    }
    if (!isForward(connection)) return sent;
    return this.#translate(port, bytes, ports, finding, connection.translation!.end);
  }

  /** What was sent to a load balancer goes on to a backend: a second connection, from then on. */
  #translate(
    port: GoldenPort,
    bytes: Buffer,
    ports: Ports,
    finding: Finding,
    end: End,
  ): Sent | null {
    const before = tupleOf(bytes, ports);
    const vip = { ip: before.destination, port: before.destinationPort };
    const sent = withEnd(bytes, "destination", end);
    const hasPorts = before.protocol === TCP || before.protocol === UDP;
    const sentPorts = [before.sourcePort, hasPorts ? end.port : before.destinationPort] as const;
    const tuple = tupleOf(sent, sentPorts);
    const other = this.connections.lookUp(port.name, sent, tuple, this.#nowMs);
    const isOurs =
      other.found?.translation?.isReverse === true && isSameEnd(other.found.translation.end, vip);
    const isOver = other.kind === "new" && other.connection === null;
    if (other.found !== null && !isOurs && !isOver) {
      this.#drop(port.chassis!, stages.STATEFUL, "translation-conflict");
      return null;
    }
    const committed = this.#commit(port, sent, sentPorts, { ...finding, found: other.found });
    if (committed !== null) committed.translation = { isReverse: true, end: vip };
    return { bytes: sent, ports: sentPorts, isTranslated: true };
  }

  /** What the rules say, counted for the one that decided; what is an answer after all is one. */
  #judge(
    direction: "from-port" | "to-port",
    port: GoldenPort,
    bytes: Buffer,
    ports: Ports,
    finding: Finding | null,
  ): Exclude<Judgement["verdict"], "picked-up"> {
    const { ip } = headersOf(bytes);
    const tuple = ip === null ? null : tupleOf(bytes, ports ?? untrackedPorts(bytes, ip));
    const { verdict, rule } = judge(this.network, direction, port, bytes, tuple, finding);
    if (rule !== null) {
      const key = `${port.chassis} ${rule}`;
      this.ruleHits.set(key, (this.ruleHits.get(key) ?? 0) + 1);
    }
    if (verdict !== "picked-up") return verdict;
    finding!.kind = "established";
    finding!.isReply = true;
    return "passes";
  }

  #commit(
    port: GoldenPort,
    bytes: Buffer,
    ports: Ports,
    finding: Finding | null,
  ): Connection | null {
    if (finding?.kind !== "new" && finding?.kind !== "established") return null;
    const what = { tuple: tupleOf(bytes, ports), isAnswer: finding.isReply };
    return this.connections.commit(port.name, bytes, what, this.#nowMs);
  }

  /** Stages 6 and 7, at the chassis of the sender. */
  #fromSwitch(port: GoldenPort, bytes: Buffer, ports: Ports, isTranslated = false): void {
    const here = port.chassis!;
    this.#count(here, stages.L2);
    const decision = switchFrame(this.network, port, bytes, isTranslated);
    if (decision.kind === "drop") {
      this.#drop(here, stages.L2, decision.reason);
      return;
    }
    this.#count(here, stages.ROUTING);
    if (decision.kind === "flood") {
      this.#floodFrom(here, port, bytes);
      return;
    }
    const isAnswer = decision.kind === "answer";
    const outPort = isAnswer ? port : decision.port;
    const atSwitch = { bytes: isAnswer ? decision.bytes : bytes, inPort: port, outPort, isAnswer };
    const { hop, drops } = route(this.network, atSwitch);
    for (const reason of drops) this.#drop(here, stages.ROUTING, reason);
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
      this.#toPort(outPort, bytes, { ports, isAnswer, isFree: false });
    } else if (this.#fits(bytes)) {
      for (const copy of this.#send(here, outPort.chassis, bytes))
        this.#toPort(outPort, copy, CROSSED);
    } else {
      this.#refuseTooBig(sender, bytes);
    }
  }

  #endHere(here: string, reason: DropReasonName): void {
    this.#count(here, stages.POST_ROUTING);
    this.#drop(here, stages.POST_ROUTING, reason);
  }

  /** Who may not be cut is told how much the tunnel carries (RFC 1191, RFC 8201). */
  #refuseTooBig(sender: GoldenPort, bytes: Buffer): void {
    const here = sender.chassis!;
    this.#drop(here, stages.POST_ROUTING, "too-big");
    const { ip } = headersOf(bytes);
    const error = ip?.dontFragment
      ? errorAbout(bytes, "too-big", ip.destination, this.#options.tunnelMtu)
      : null;
    if (error === null) {
      this.#count(here, stages.POST_ROUTING);
      return;
    }
    putHex(error, 0, sender.mac);
    this.#toPort(sender, error, { ports: null, isAnswer: true, isFree: false });
  }

  #fits(bytes: Buffer): boolean {
    return bytes.length - 14 <= this.#options.tunnelMtu;
  }

  /** Stage 8 of a packet for many: a copy to each other chassis and to each port here. */
  #floodFrom(here: string, inPort: GoldenPort, bytes: Buffer): void {
    const members = this.network.workloadsOf(inPort.switch);
    for (const there of new Set(members.map(({ chassis }) => chassis))) {
      if (there === null || there === here) continue;
      if (!this.#fits(bytes)) this.#drop(here, stages.POST_ROUTING, "too-big");
      else for (const copy of this.#send(here, there, bytes)) this.#floodAt(there, inPort, copy);
    }
    this.#floodAt(here, inPort, bytes);
  }

  #floodAt(here: string, inPort: GoldenPort, bytes: Buffer): void {
    for (const port of this.network.workloadsOf(inPort.switch)) {
      if (port.chassis === here && port.hasDevice && port !== inPort) {
        this.#toPort(port, bytes, CROSSED);
      }
    }
  }

  /** Stages 8 to 13, at the chassis of the receiver: its connection, and the rules for it. */
  #toPort(port: GoldenPort, frame: Buffer, { ports: known, isAnswer, isFree }: Arrival): void {
    const here = port.chassis!;
    let bytes = frame;
    this.#countAll(here, stages.POST_ROUTING, stages.EGRESS_PRE_ACL);
    let ports: Ports = null;
    let finding: Finding | null = null;
    if (isTracked(bytes)) {
      ports = this.#portsAtReceiver(port, bytes, known);
      if (ports === null) {
        this.#drop(here, stages.EGRESS_PRE_ACL, "fragment-orphan");
        return;
      }
      finding = this.connections.lookUp(port.name, bytes, tupleOf(bytes, ports), this.#nowMs);
      ({ bytes, ports, finding } = this.#reverse(port, bytes, ports, finding));
    }
    this.#count(here, stages.EGRESS_ACL);
    const judgement = isFree ? "passes" : this.#judge("to-port", port, bytes, ports, finding);
    if (judgement === "acl-drop" || judgement === "acl-reject" || judgement === "acl-blocked") {
      this.#drop(here, stages.EGRESS_ACL, judgement);
      const mayAnswer = judgement === "acl-reject" && finding !== null && !isAnswer;
      const answer = mayAnswer ? answerTo(bytes) : null;
      // It goes its way as if the port itself had sent it.
      if (answer !== null) this.#fromSwitch(port, answer, portsOf(answer, headersOf(answer).ip!));
      return;
    }
    this.#countAll(here, stages.EGRESS_ACL + 1, stages.EGRESS_STATEFUL);
    if (judgement === "passes") this.#commit(port, bytes, ports, finding);
    this.#output(port, bytes);
  }

  /** Stage 10: what a backend answers comes from its load balancer. */
  #reverse(port: GoldenPort, bytes: Buffer, ports: Ports, finding: Finding) {
    const { kind, isReply, found, isBack } = finding;
    const same = { bytes, ports, finding };
    const translation = found?.translation;
    if (!translation?.isReverse) return same;
    if (kind === "related") {
      if (!isReply) return same;
      return { ...same, bytes: withQuotedEnd(bytes, "source", "destination", translation.end) };
    }
    if (kind === "new" || !isBack) return same;
    this.#commit(port, bytes, ports, finding);
    const before = tupleOf(bytes, ports);
    const hasPorts = before.protocol === TCP || before.protocol === UDP;
    const sourcePort = hasPorts ? translation.end.port : before.sourcePort;
    const answer = withEnd(bytes, "source", translation.end);
    const answerPorts = [sourcePort, before.destinationPort] as const;
    const tuple = tupleOf(answer, answerPorts);
    const own = this.connections.lookUp(port.name, answer, tuple, this.#nowMs);
    return { bytes: answer, ports: answerPorts, finding: own };
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
    this.#count(here, stages.EGRESS_PORT_SECURITY);
    const reason = mayReceive(port, headersOf(bytes));
    if (reason !== null) {
      this.#drop(here, stages.EGRESS_PORT_SECURITY, reason);
      return;
    }
    this.#count(here, stages.OUTPUT);
    if (port.hasDevice) this.#outcome.deliveries.push({ port: port.name, bytes });
    else this.#drop(here, stages.OUTPUT, "device-down");
  }

  /** What arrives at the other end of the tunnel. */
  #send(from: string, to: string, bytes: Buffer): Buffer[] {
    const count = this.#options.copies?.(from, to, bytes) ?? 1;
    return Array.from({ length: count }, () => Buffer.from(bytes));
  }

  #count(chassis: string, stage: number): void {
    let packets = this.#packets.get(chassis);
    if (packets === undefined) {
      packets = new Array<number>(stages.STAGES).fill(0);
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
