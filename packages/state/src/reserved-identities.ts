/**
 * Identities that no labels of ports make: their numbers and names are Cilium's (its documentation,
 * "Identity", "Special Identities", and pkg/identity/numericidentity.go), so that whoever knows
 * those finds the same meant by them, or reads that it does not occur. Run by the control thread.
 */

/** What stands in front of such a name where a label would stand; no label of a port begins so. */
export const RESERVED_PREFIX = "reserved:";

export interface ReservedIdentity {
  /** 1 to 255. */
  readonly number: number;
  readonly reserved: string;
  /** What has it here, for people. */
  readonly meaning: string;
}

/** Of ports that have no labels. */
export const IDENTITY_INIT = 5;

/** By number. */
export const RESERVED_IDENTITIES: readonly ReservedIdentity[] = [
  {
    ...{ number: 1, reserved: "host" },
    meaning: "the chassis itself, with the addresses of routers and load balancers; not in rules",
  },
  {
    ...{ number: 2, reserved: "world" },
    meaning: "addresses that no port, router or load balancer has; in rules a prefix",
  },
  {
    ...{ number: 3, reserved: "unmanaged" },
    meaning: "never: what is in a switch is a port",
  },
  {
    ...{ number: 4, reserved: "health" },
    meaning: "never: chassis ask each other over the underlay, which no rule is about",
  },
  {
    ...{ number: IDENTITY_INIT, reserved: "init" },
    meaning: "ports without labels",
  },
  {
    ...{ number: 6, reserved: "remote-node" },
    meaning: "another chassis; routers and load balancers are the same at each, see host",
  },
  {
    ...{ number: 7, reserved: "kube-apiserver" },
    meaning: "never: such a server is a port, or in the world",
  },
  {
    ...{ number: 8, reserved: "ingress" },
    meaning: "never: no proxy sends in the name of others",
  },
  {
    ...{ number: 9, reserved: "world-ipv4" },
    meaning: "the IPv4 addresses of the world",
  },
  {
    ...{ number: 10, reserved: "world-ipv6" },
    meaning: "the IPv6 addresses of the world",
  },
];
