/**
 * Rules (`kind: acl`): which packets of a switch, or of one port of it, may pass. Run by the
 * control thread.
 */
import { type Address, isIpv4, networkOf, type Prefix, parsePrefix } from "@rhone/wire/address";
import { z } from "zod";
import { canonicalPrefix, name, optional, prefix, remark, text } from "./fields.ts";
import { canonicalLabels, type Labels, selectorSchema } from "./labels.ts";
import { type Problem, problem } from "./problem.ts";

export const PRIORITY_MAX = 32767;
export const PORT_MAX = 65535;

/** Protocols that have a name here, by their numbers (IANA, Protocol Numbers). */
const PROTOCOL_NUMBERS = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 } as const;
type ProtocolName = keyof typeof PROTOCOL_NUMBERS;
const PROTOCOL_NAMES = Object.keys(PROTOCOL_NUMBERS) as ProtocolName[];

const PROTOCOL = `one of ${PROTOCOL_NAMES.join(", ")} or a number from 0 to 255`;
const protocol = z
  .union([z.enum(PROTOCOL_NAMES), z.int().min(0).max(255)], { error: PROTOCOL })
  .describe(PROTOCOL);

const PORTS = `a port such as 443 or a range such as 8000-8100, from 1 to ${PORT_MAX}`;
const ports = z
  .union([text(PORTS, (ports) => parsePorts(ports) !== null), z.int().min(1).max(PORT_MAX)], {
    error: PORTS,
  })
  .describe(PORTS);

const matchSchema = z.strictObject({
  protocol: protocol.exactOptional(),
  source: prefix.exactOptional(),
  destination: prefix.exactOptional(),
  /** Who has the address is a port with these labels, beside what the network asks for. */
  sourceLabels: selectorSchema.exactOptional(),
  destinationLabels: selectorSchema.exactOptional(),
  sourcePorts: ports.exactOptional(),
  destinationPorts: ports.exactOptional(),
});

export const aclSchema = z.strictObject({
  kind: z.literal("acl"),
  name,
  switch: name,
  /** One port of the switch; all of them when left out. */
  port: name.exactOptional(),
  direction: z.enum(["from-port", "to-port"]),
  priority: z.int().min(0).max(PRIORITY_MAX),
  /** Empty: every packet that rules are asked about. */
  match: matchSchema,
  action: z.enum(["allow", "allow-stateless", "drop", "reject"]),
  description: remark.exactOptional(),
});

export type AclDocument = z.infer<typeof aclSchema>;
export interface AclMatch {
  /** By its name when it has one here. */
  readonly protocol?: ProtocolName | number;
  readonly source?: string;
  readonly destination?: string;
  readonly sourceLabels?: Labels;
  readonly destinationLabels?: Labels;
  /** "443" or "8000-8100". */
  readonly sourcePorts?: string;
  readonly destinationPorts?: string;
}
export type Acl = Readonly<Omit<AclDocument, "match"> & { match: AclMatch }>;

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Null when the text is no port and no range of ports. */
export function parsePorts(text: string): PortRange | null {
  const match = /^([1-9]\d{0,4})(?:-([1-9]\d{0,4}))?$/.exec(text);
  if (match === null) return null;
  const first = Number(match[1]);
  const last = match[2] === undefined ? first : Number(match[2]);
  return first <= last && last <= PORT_MAX ? { first, last } : null;
}

export function protocolNumber(protocol: ProtocolName | number): number {
  return typeof protocol === "number" ? protocol : PROTOCOL_NUMBERS[protocol];
}

export function completeAcl(document: AclDocument): Acl {
  const { kind, name, port, direction, priority, match, action, description } = document;
  return {
    ...{ kind, name, switch: document.switch },
    ...optional({ port }),
    ...{ direction, priority },
    match: optional({
      protocol: match.protocol === undefined ? undefined : canonicalProtocol(match.protocol),
      source: match.source === undefined ? undefined : canonicalPrefix(match.source),
      destination: match.destination === undefined ? undefined : canonicalPrefix(match.destination),
      sourceLabels: canonicalLabels(match.sourceLabels),
      destinationLabels: canonicalLabels(match.destinationLabels),
      sourcePorts: canonicalPorts(match.sourcePorts),
      destinationPorts: canonicalPorts(match.destinationPorts),
    }),
    action,
    ...optional({ description }),
  };
}

/** All that is wrong with a rule in itself: what no packet can match, or nobody can answer. */
export function checkAcl({ match, action }: Acl, pointer: string): Problem[] {
  const at = `${pointer}/match`;
  const source = match.source === undefined ? null : parsePrefix(match.source)!;
  const destination = match.destination === undefined ? null : parsePrefix(match.destination)!;
  const problems = [
    ...checkNetwork(source, match.source, `${at}/source`),
    ...checkNetwork(destination, match.destination, `${at}/destination`),
    ...checkPorts(match, at),
  ];
  if (source !== null && destination !== null && isV4(source) !== isV4(destination)) {
    const expected = `a network of the family of ${match.source}`;
    problems.push(problem(`${at}/destination`, expected, match.destination));
  }
  const first = source ?? destination;
  const needsV4 = match.protocol === "icmp";
  if (first !== null && (needsV4 || match.protocol === "icmpv6") && isV4(first) !== needsV4) {
    const expected = `the ICMP of ${match.source ?? match.destination}'s family`;
    problems.push(problem(`${at}/protocol`, expected, match.protocol));
  }
  if (action === "reject" && destination !== null && isMulticast(destination)) {
    const expected = "drop: what went to a group is never answered";
    problems.push(problem(`${pointer}/action`, expected, action));
  }
  return problems;
}

function checkNetwork(prefix: Prefix | null, text: string | undefined, at: string): Problem[] {
  if (prefix === null) return [];
  const network = networkOf(prefix.address, prefix.length);
  if (network.every((word, i) => word === prefix.address[i])) return [];
  return [problem(at, "a network whose bits behind the prefix are zero", text)];
}

function checkPorts(match: AclMatch, at: string): Problem[] {
  if (match.protocol === "tcp" || match.protocol === "udp") return [];
  const fields = (["sourcePorts", "destinationPorts"] as const).filter(
    (field) => match[field] !== undefined,
  );
  return fields.map((field) =>
    problem(`${at}/${field}`, "ports only beside protocol tcp or udp", match[field]),
  );
}

function isV4({ address, length }: Prefix): boolean {
  return isIpv4(address) && length >= 96;
}

function isMulticast({ address, length }: Prefix): boolean {
  const isGroupV4 = (words: Address): boolean => words[3] >>> 28 === 0xe;
  if (isIpv4(address)) return length >= 100 && isGroupV4(address);
  return length >= 8 && address[0] >>> 24 === 0xff;
}

function canonicalProtocol(protocol: ProtocolName | number): ProtocolName | number {
  return PROTOCOL_NAMES.find((name) => PROTOCOL_NUMBERS[name] === protocol) ?? protocol;
}

function canonicalPorts(ports: string | number | undefined): string | undefined {
  if (ports === undefined) return undefined;
  const { first, last } = parsePorts(String(ports))!;
  return first === last ? String(first) : `${first}-${last}`;
}
