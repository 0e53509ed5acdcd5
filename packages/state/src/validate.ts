/**
 * Whether changes fit to the rest of the desired state. Run by the control thread, before a commit.
 *
 * Peers' changes are merged unseen, so the state may contradict itself already. Only what the
 * changes at hand bring in is reported: an old contradiction never blocks an unrelated change.
 */
import { type Prefix, parseAddress, parsePrefix, prefixContains } from "@rhone/wire/address";
import { checkDataplane } from "./dataplane.ts";
import { checkGatewayReferences } from "./gateway.ts";
import { addressesOf, checkServedSwitches } from "./load-balancer.ts";
import { type Problem, problem } from "./problem.ts";
import type { Entry } from "./record.ts";
import { isLinkLocal, isNetworkOrBroadcast, isSameFamily } from "./sanity.ts";
import { defaultMac, type Port, type Router } from "./schema.ts";
import { get, type State, withEntries } from "./state.ts";
import { aclsBySwitch, checkAclReferences, checkRuledPorts, listed } from "./validate-acls.ts";

/** One change as it would be stored. `pointer` is where its document stands in what came in. */
export interface Proposal {
  readonly pointer: string;
  readonly entry: Entry;
}

/** Everything in which `proposals`, taken together, contradict `state`. */
export function validate(state: State, proposals: readonly Proposal[]): Problem[] {
  const entries = proposals.map(({ entry }) => entry);
  const after = withEntries(state, state.revision, entries);
  const switches = switchesOf(state, proposals);
  const occupants = occupantsOf(after, switches, proposals);
  return [
    ...proposals.flatMap((proposal) => checkSwitches(after, proposal)),
    ...proposals.flatMap((proposal) => checkAclReferences(after, proposal)),
    ...proposals.flatMap((proposal) => checkDataplane(after, proposal)),
    ...proposals.flatMap((proposal) => checkServedSwitches(after, proposal)),
    ...proposals.flatMap((proposal) => checkGatewayReferences(state, after, proposal)),
    ...checkUnused(after, proposals, occupants),
    ...checkRuledPorts(state, after, proposals),
    ...[...switches].flatMap((name) => checkUnique(occupants.get(name) ?? [])),
    ...checkDevices(after, proposals),
    ...[...switches].flatMap((name) => checkNetworks(state, after, name, proposals)),
  ];
}

/** The switches that a proposal touches, leaves or enters. */
function switchesOf(before: State, proposals: readonly Proposal[]): Set<string> {
  const names = new Set<string>();
  for (const { entry } of proposals) {
    const old = get(before, entry.kind, entry.name)?.value;
    for (const value of [old, entry.value]) {
      if (value?.kind === "switch") names.add(value.name);
      if (value?.kind === "port") names.add(value.switch);
      if (value?.kind === "router") for (const port of value.ports) names.add(port.switch);
      if (value?.kind === "load-balancer") for (const name of value.switches) names.add(name);
    }
  }
  return names;
}

/** What has addresses in a switch: a port, a port of a router, or a load balancer. */
interface Occupant {
  readonly label: string;
  /** Where its fields stand in what came in; null when no proposal is about it. */
  readonly pointer: string | null;
  readonly name: string;
  readonly mac: string;
  /** Without prefix length. */
  readonly addresses: readonly string[];
  /** Where they stand, behind `pointer`; `/addresses/0` and so on when it is not said. */
  readonly addressPointers?: readonly string[];
}

/** By switch; those that no proposal is about come first, so that a conflict falls on the newer. */
function occupantsOf(
  state: State,
  switches: ReadonlySet<string>,
  proposals: readonly Proposal[],
): Map<string, Occupant[]> {
  const pointers = new Map(proposals.map(({ entry, pointer }) => [entry, pointer]));
  const found: { at: string; occupant: Occupant }[] = [];
  for (const entry of state.ports) {
    const { name, mac, addresses, switch: at } = entry.value;
    if (!switches.has(at)) continue;
    const pointer = pointers.get(entry) ?? null;
    found.push({ at, occupant: { label: `port ${name}`, pointer, name, mac, addresses } });
  }
  for (const entry of state.routers) {
    const pointer = pointers.get(entry);
    for (const [i, port] of entry.value.ports.entries()) {
      if (!switches.has(port.switch)) continue;
      const occupant = {
        label: `port ${port.name} of router ${entry.name}`,
        pointer: pointer === undefined ? null : `${pointer}/ports/${i}`,
        name: port.name,
        mac: port.mac,
        addresses: port.addresses.map((text) => text.slice(0, text.indexOf("/"))),
      };
      found.push({ at: port.switch, occupant });
    }
  }
  for (const entry of state.loadBalancers) {
    const label = `load-balancer ${entry.name}`;
    const addresses = addressesOf(entry.value);
    const occupant = {
      ...{ label, pointer: pointers.get(entry) ?? null },
      // No port's name has a space.
      ...{ name: label, mac: defaultMac(`load-balancer/${entry.name}`) },
      addresses: [...addresses.keys()],
      addressPointers: [...addresses.values()].map((vip) => `/vips/${vip}/address`),
    };
    for (const at of entry.value.switches) if (switches.has(at)) found.push({ at, occupant });
  }
  found.sort((a, b) => Number(a.occupant.pointer !== null) - Number(b.occupant.pointer !== null));
  const bySwitch = new Map<string, Occupant[]>();
  for (const { at, occupant } of found) {
    const present = bySwitch.get(at);
    if (present === undefined) bySwitch.set(at, [occupant]);
    else present.push(occupant);
  }
  return bySwitch;
}

function checkSwitches(after: State, { entry, pointer }: Proposal): Problem[] {
  const { value } = entry;
  const named =
    value?.kind === "port"
      ? [{ at: `${pointer}/switch`, name: value.switch }]
      : value?.kind === "router"
        ? value.ports.map((port, i) => ({ at: `${pointer}/ports/${i}/switch`, name: port.switch }))
        : [];
  return named
    .filter(({ name }) => get(after, "switch", name) === undefined)
    .map(({ at, name }) => problem(at, "the name of a switch that exists", name));
}

/** A switch that goes away must be empty. Who moves into it in the same change is told so there. */
function checkUnused(
  after: State,
  proposals: readonly Proposal[],
  occupants: ReadonlyMap<string, readonly Occupant[]>,
): Problem[] {
  const gone = proposals.filter(({ entry }) => entry.kind === "switch" && entry.value === null);
  if (gone.length === 0) return [];
  const rules = aclsBySwitch(after, proposals);
  return gone.flatMap(({ entry, pointer }) => {
    const users = (occupants.get(entry.name) ?? []).filter((user) => user.pointer === null);
    const left = rules.get(entry.name) ?? [];
    const labels = [...users.map(({ label }) => label), ...left.map(({ name }) => `acl ${name}`)];
    if (labels.length === 0) return [];
    return [problem(pointer, `nothing left in switch ${entry.name}`, listed(labels))];
  });
}

/** Names, MAC addresses and IP addresses are unique in a switch. */
function checkUnique(occupants: readonly Occupant[]): Problem[] {
  const problems: Problem[] = [];
  const owners = new Map<string, string>();
  const claim = (what: string, value: string, { label, pointer }: Occupant, at: string) => {
    const key = `${what} ${value}`;
    const owner = owners.get(key);
    if (owner === undefined) owners.set(key, label);
    else if (pointer !== null) {
      problems.push(problem(pointer + at, `${what} that ${owner} does not have`, value));
    }
  };
  for (const occupant of occupants) {
    claim("a name", occupant.name, occupant, "/name");
    claim("a MAC address", occupant.mac, occupant, "/mac");
    for (const [i, text] of occupant.addresses.entries()) {
      const at = occupant.addressPointers?.[i] ?? `/addresses/${i}`;
      claim("an IP address", text, occupant, at);
    }
  }
  return problems;
}

/** A device serves one port. */
function checkDevices(after: State, proposals: readonly Proposal[]): Problem[] {
  const changed = new Map(proposals.map(({ entry, pointer }) => [entry, pointer]));
  if (proposals.every(({ entry }) => devicesOf(entry).length === 0)) return [];
  const owners = new Map<string, string>();
  for (const entry of after.ports) {
    if (changed.has(entry)) continue;
    for (const { device } of devicesOf(entry)) owners.set(device, entry.name);
  }
  return proposals.flatMap(({ entry, pointer }) =>
    devicesOf(entry).flatMap(({ at, device }) => {
      const owner = owners.get(device);
      owners.set(device, entry.name);
      if (owner === undefined || owner === entry.name) return [];
      return [problem(pointer + at, `a device that port ${owner} does not have`, device)];
    }),
  );
}

function devicesOf({ value }: Entry): { readonly at: string; readonly device: string }[] {
  if (value?.kind !== "port" || value.device === undefined) return [];
  const { chassis, gateway, device, migration } = value;
  const anywhere = gateway === undefined ? "whichever chassis has it" : `gateway ${gateway}`;
  const where = chassis === undefined ? anywhere : `chassis ${chassis}`;
  const own = { at: "/device", device: `${device} of ${where}` };
  if (migration === undefined) return [own];
  const there = `${migration.device ?? device} of chassis ${migration.chassis}`;
  return [own, { at: "/migration/device", device: there }];
}

/** In a switch with a router, every port's address lies in a network of a router. */
function checkNetworks(
  before: State,
  after: State,
  name: string,
  proposals: readonly Proposal[],
): Problem[] {
  const networks = networksOf(after, name);
  const changed = new Map(proposals.map(({ entry, pointer }) => [entry, pointer]));
  const routers = proposals.filter(({ entry }) => entry.kind === "router");
  const router = routers.find(({ entry }) => {
    const values = [entry.value, get(before, "router", entry.name)?.value];
    return values.some((v) => v?.kind === "router" && v.ports.some((p) => p.switch === name));
  });
  const networksBefore = router === undefined ? [] : networksOf(before, name);
  return after.ports.flatMap((entry) => {
    if (entry.value.switch !== name) return [];
    const pointer = changed.get(entry);
    if (pointer !== undefined) return checkAddresses(entry.value, networks, pointer);
    if (router === undefined) return [];
    if (checkAddresses(entry.value, networksBefore, "").length > 0) return [];
    return checkAddresses(entry.value, networks, "").map(({ got }) =>
      problem(
        router.pointer + (router.entry.value === null ? "" : "/ports"),
        `networks of switch ${name} that leave port ${entry.name} its address ${got}`,
        networks.map(({ text }) => text).join(", "),
      ),
    );
  });
}

interface RouterNetwork {
  readonly text: string;
  readonly prefix: Prefix;
}

function networksOf(state: State, name: string): RouterNetwork[] {
  const ofRouter = ({ ports }: Router) => ports.filter((port) => port.switch === name);
  return state.routers
    .flatMap(({ value }) => ofRouter(value))
    .flatMap(({ addresses }) => addresses.map((text) => ({ text, prefix: parsePrefix(text)! })));
}

function checkAddresses(
  port: Port,
  networks: readonly RouterNetwork[],
  pointer: string,
): Problem[] {
  if (networks.length === 0) return [];
  const known = networks.map(({ text }) => text).join(", ");
  return port.addresses.flatMap((text, i) => {
    const address = parseAddress(text)!;
    if (isLinkLocal(address)) return [];
    const at = `${pointer}/addresses/${i}`;
    const network = networks.find(
      ({ prefix }) => isSameFamily(prefix.address, address) && prefixContains(prefix, address),
    );
    if (network === undefined) {
      const expected = `an address in a network of switch ${port.switch}'s routers (${known})`;
      return [problem(at, expected, text)];
    }
    if (!isNetworkOrBroadcast({ address, length: network.prefix.length })) return [];
    return [problem(at, `an address of one host in ${network.text}`, text)];
  });
}
