/**
 * Stages 2 and 11: the rules of a switch and of its ports (docs/pipeline.md, "Rules"). Of those
 * that match, the one with the highest priority decides, among equals the one whose name is first.
 */
import type { Acl } from "@rhone/state/acl";
import type { Labels } from "@rhone/state/labels";
import { contains, type Ip, networkFromText } from "./bytes.ts";
import { type Finding, isDiscovery, isSame, reversed, type Tuple } from "./connections.ts";
import { headersOf, ICMP, ICMPV6, TCP, UDP } from "./headers.ts";
import { isBackend, serviceOf } from "./load-balancing.ts";
import type { GoldenNetwork, GoldenPort } from "./network.ts";

const PROTOCOLS: { readonly [name: string]: number } = {
  ...{ icmp: ICMP, tcp: TCP, udp: UDP, icmpv6: ICMPV6 },
};

export type Refusal = "acl-drop" | "acl-reject" | "acl-blocked";

export interface Judgement {
  readonly verdict: "passes" | "passes-untracked" | "picked-up" | Refusal;
  /** The rule that decided. */
  readonly rule: string | null;
}

const PASSES: Judgement = { verdict: "passes", rule: null };
/** It is no question that rules refuse, but the answer to one that they allow. */
const PICKED_UP: Judgement = { verdict: "picked-up", rule: null };
const BLOCKED: Judgement = { verdict: "acl-blocked", rule: null };

/** `finding` is null for what is not tracked. */
export function judge(
  network: GoldenNetwork,
  direction: Acl["direction"],
  port: GoldenPort,
  bytes: Buffer,
  tuple: Tuple | null,
  finding: Finding | null,
): Judgement {
  if (finding === null) {
    // Without these no link works: nobody can rule them out.
    if (tuple === null || isDiscovery(bytes, headersOf(bytes).ip!)) return PASSES;
  } else if (finding.kind === "related" || (finding.kind === "established" && finding.isReply)) {
    if (finding.connection!.isBlocked) return BLOCKED;
    if (finding.kind === "related") return PASSES;
    // An answer passes as long as the question would.
    const asked = ruleForQuestion(network, direction, port, tuple!);
    return asked?.action === "drop" || asked?.action === "reject" ? BLOCKED : PASSES;
  }
  const rule = ruleFor(network, direction, port, tuple!);
  if (rule === undefined) return PASSES;
  switch (rule.action) {
    case "allow":
      return { verdict: "passes", rule: rule.name };
    case "allow-stateless":
      return { verdict: "passes-untracked", rule: rule.name };
    default:
      if (finding?.isForgotten && isAnswer(network, direction, port, tuple!)) return PICKED_UP;
      // What was let in before is let in no more, answers neither.
      if (finding !== null && finding.connection !== null) finding.connection.isBlocked = true;
      return { verdict: rule.action === "drop" ? "acl-drop" : "acl-reject", rule: rule.name };
  }
}

/** The rule about the packet that this one answers, at the same port. */
function ruleForQuestion(
  network: GoldenNetwork,
  direction: Acl["direction"],
  port: GoldenPort,
  tuple: Tuple,
): Acl | undefined {
  const other = direction === "from-port" ? "to-port" : "from-port";
  return ruleFor(network, other, port, reversed(tuple));
}

/** Whether the question would make a connection, and the answer is as it was asked for. */
function isAnswer(
  network: GoldenNetwork,
  direction: Acl["direction"],
  port: GoldenPort,
  tuple: Tuple,
): boolean {
  if (isSame(tuple, reversed(tuple))) return false;
  const { loadBalancers } = network;
  const isBalanced =
    direction === "to-port"
      ? isBackend(loadBalancers, port.switch, tuple.source)
      : serviceOf(loadBalancers, port.switch, tuple) !== null;
  if (isBalanced) return false;
  const asked = ruleForQuestion(network, direction, port, tuple);
  return asked === undefined || asked.action === "allow";
}

function ruleFor(
  network: GoldenNetwork,
  direction: Acl["direction"],
  port: GoldenPort,
  tuple: Tuple,
): Acl | undefined {
  return network.rules
    .filter((each) => isAbout(each, direction, port) && matches(each, tuple, network))
    .sort((a, b) => b.priority - a.priority || (a.name < b.name ? -1 : 1))[0];
}

function isAbout(rule: Acl, direction: Acl["direction"], port: GoldenPort): boolean {
  if (rule.direction !== direction || rule.switch !== port.switch) return false;
  return rule.port === undefined || rule.port === port.name;
}

function matches(rule: Acl, tuple: Tuple, network: GoldenNetwork): boolean {
  const { match } = rule;
  const { protocol, source, destination, sourcePorts, destinationPorts } = match;
  const number = typeof protocol === "string" ? PROTOCOLS[protocol] : protocol;
  return (
    (number === undefined || number === tuple.protocol) &&
    (source === undefined || contains(networkFromText(source), tuple.source)) &&
    (destination === undefined || contains(networkFromText(destination), tuple.destination)) &&
    isOf(match.sourceLabels, tuple.source, rule, network) &&
    isOf(match.destinationLabels, tuple.destination, rule, network) &&
    (sourcePorts === undefined || isIn(sourcePorts, tuple.sourcePort)) &&
    (destinationPorts === undefined || isIn(destinationPorts, tuple.destinationPort))
  );
}

/** Of an address that several have, those who let pass want all of them to have the labels. */
function isOf(wanted: Labels | undefined, ip: Ip, rule: Acl, network: GoldenNetwork): boolean {
  if (wanted === undefined) return true;
  const holders = network.holders(rule.switch, ip);
  const fitting = holders.filter(({ labels }) =>
    Object.entries(wanted).every(([key, value]) => labels[key] === value),
  );
  const isAllow = rule.action === "allow" || rule.action === "allow-stateless";
  return fitting.length > 0 && (!isAllow || fitting.length === holders.length);
}

/** "443" or "8000-8100". */
function isIn(range: string, port: number): boolean {
  const [first, last] = range.split("-").map(Number);
  return port >= first! && port <= (last ?? first!);
}
