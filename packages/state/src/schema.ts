/**
 * The documents of the desired state: what users write (`…Document`) and what is kept (`Switch`,
 * `Router`, …: every default filled in, every address in its one canonical text). Run by the
 * control thread.
 *
 * The schemas only check: they are also what `/openapi.json` publishes. `complete` fills in.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { type Access, type AccessDocument, accessSchema, completeAccess } from "./access.ts";
import { type Acl, type AclDocument, aclSchema, completeAcl } from "./acl.ts";
import { type Audit, type AuditDocument, auditSchema, completeAudit } from "./audit.ts";
import {
  completeDataplane,
  type Dataplane,
  type DataplaneDocument,
  dataplaneSchema,
} from "./dataplane.ts";
import {
  address,
  canonicalAddress,
  canonicalMac,
  canonicalPrefix,
  device,
  interfaceAddress,
  mac,
  name,
  optional,
  prefix,
  remark,
} from "./fields.ts";
import { completeGateway, type Gateway, type GatewayDocument, gatewaySchema } from "./gateway.ts";
import { canonicalLabels, labelsSchema } from "./labels.ts";
import {
  completeLoadBalancer,
  type LoadBalancer,
  type LoadBalancerDocument,
  loadBalancerSchema,
} from "./load-balancer.ts";

export const KINDS = [
  "switch",
  "router",
  "port",
  "acl",
  "load-balancer",
  "gateway",
  "dataplane",
  "chassis",
  "binding",
  "access",
  "audit",
] as const;
export type Kind = (typeof KINDS)[number];

/** What users write as documents; the other kinds are written by a chassis. */
export const USER_KINDS = [
  "switch",
  "router",
  "port",
  "acl",
  "load-balancer",
  "gateway",
  "dataplane",
] as const;
export type UserKind = (typeof USER_KINDS)[number];

export const ROUTER_PORTS_MAX = 64;
export const ROUTES_MAX = 1024;
/** Of one port, and of one port of a router. */
export const ADDRESSES_MAX = 16;

/** Chassis say what they hold every second, and more seldom where there are many. */
const STALE_MIN_SECONDS = 5;
const STALE_MAX_SECONDS = 86_400;

const EPOCH_MAX = 2 ** 31 - 1;

const driver = z.enum(["af-packet", "af-xdp", "tap"]);

export const switchSchema = z.strictObject({
  kind: z.literal("switch"),
  name,
  description: remark.exactOptional(),
  /**
   * At a chassis that for longer has not known what most of all chassis have, no connection begins
   * here.
   */
  maxStaleSeconds: z.int().min(STALE_MIN_SECONDS).max(STALE_MAX_SECONDS).exactOptional(),
});

const routerPortSchema = z.strictObject({
  name,
  switch: name,
  mac: mac.exactOptional(),
  addresses: z.array(interfaceAddress).min(1).max(ADDRESSES_MAX),
});

export const routerSchema = z.strictObject({
  kind: z.literal("router"),
  name,
  ports: z.array(routerPortSchema).max(ROUTER_PORTS_MAX),
  routes: z
    .array(z.strictObject({ prefix, nextHop: address }))
    .max(ROUTES_MAX)
    .exactOptional(),
});

/** What a guest sends when it begins to run somewhere else. */
export const ACTIVATIONS = ["rarp", "garp", "na"] as const;
export type Activation = (typeof ACTIVATIONS)[number];

const migrationSchema = z.strictObject({
  /** Where the port goes. */
  chassis: name,
  /** As the port's own when left out. */
  device: device.exactOptional(),
  driver: driver.exactOptional(),
  /** Which frame of the guest makes it active there; any of them when left out. */
  activation: z.array(z.enum(ACTIVATIONS)).max(ACTIVATIONS.length).exactOptional(),
  /** It is to be active there without waiting for a frame. */
  activate: z.boolean().exactOptional(),
});

export const portSchema = z
  .strictObject({
    kind: z.literal("port"),
    name,
    switch: name,
    mac: mac.exactOptional(),
    addresses: z.array(address).max(ADDRESSES_MAX),
    portSecurity: z.boolean().exactOptional(),
    labels: labelsSchema.exactOptional(),
    chassis: name.exactOptional(),
    /** In place of a chassis: the one of its members that forwards has the port. */
    gateway: name.exactOptional(),
    device: device.exactOptional(),
    driver: driver.exactOptional(),
    migration: migrationSchema.exactOptional(),
  })
  .refine((port) => port.migration === undefined || port.chassis !== undefined, {
    path: ["chassis"],
    params: { expected: "the name of the chassis that the port moves away from" },
    when: ({ value }) => typeof value === "object" && value !== null, // Also beside other issues.
  })
  .refine((port) => port.gateway === undefined || port.chassis === undefined, {
    path: ["gateway"],
    params: { expected: "a chassis or a gateway, not both" },
    when: ({ value }) => typeof value === "object" && value !== null,
  })
  .refine((port) => port.gateway === undefined || port.device !== undefined, {
    path: ["device"],
    params: { expected: "the device that the port has at every member of its gateway" },
    when: ({ value }) => typeof value === "object" && value !== null,
  });

export const chassisSchema = z.strictObject({
  kind: z.literal("chassis"),
  name,
  underlay: address,
  workers: z.int().min(1).max(256),
  /** As many as it can have. */
  workersMax: z.int().min(1).max(256).exactOptional(),
  /** How nats-servers hang together, as this chassis has it; a full mesh when left out. */
  natsLayout: z.literal("hubs").exactOptional(),
  version: remark,
});

export const bindingSchema = z.strictObject({
  kind: z.literal("binding"),
  /** `bindingName` of the two. */
  name,
  port: name,
  /** That says so. */
  chassis: name,
  /** Of two claims that of the higher epoch is the better one. */
  epoch: z.int().min(1).max(EPOCH_MAX),
  /** The port is on its way here: the chassis has its device, and does not claim the port yet. */
  standby: z.boolean().exactOptional(),
  up: z.boolean(),
  detail: remark.exactOptional(),
});

export const SCHEMAS = {
  switch: switchSchema,
  router: routerSchema,
  port: portSchema,
  acl: aclSchema,
  "load-balancer": loadBalancerSchema,
  gateway: gatewaySchema,
  dataplane: dataplaneSchema,
  chassis: chassisSchema,
  binding: bindingSchema,
  access: accessSchema,
  audit: auditSchema,
} as const satisfies Record<Kind, z.ZodType>;

export type SwitchDocument = z.infer<typeof switchSchema>;
export type RouterDocument = z.infer<typeof routerSchema>;
export type PortDocument = z.infer<typeof portSchema>;
export type ChassisDocument = z.infer<typeof chassisSchema>;
export type BindingDocument = z.infer<typeof bindingSchema>;
export type Document =
  | SwitchDocument
  | RouterDocument
  | PortDocument
  | AclDocument
  | LoadBalancerDocument
  | GatewayDocument
  | DataplaneDocument
  | ChassisDocument
  | BindingDocument
  | AccessDocument
  | AuditDocument;

export type Switch = Readonly<SwitchDocument>;
export type RouterPort = Readonly<Required<z.infer<typeof routerPortSchema>>>;
export interface Router {
  readonly kind: "router";
  readonly name: string;
  readonly ports: readonly RouterPort[];
  readonly routes: readonly { readonly prefix: string; readonly nextHop: string }[];
}
export type Port = Readonly<PortDocument & { mac: string; portSecurity: boolean }>;
export type Chassis = Readonly<ChassisDocument>;
export type Binding = Readonly<BindingDocument>;
export type Resource =
  | Switch
  | Router
  | Port
  | Acl
  | LoadBalancer
  | Gateway
  | Dataplane
  | Chassis
  | Binding
  | Access
  | Audit;
export type ResourceOf<K extends Kind> = Extract<Resource, { kind: K }>;

/**
 * The document with defaults filled in, addresses in canonical text and keys in one order, so that
 * two documents mean the same exactly when they are the same JSON text. Completing twice changes
 * nothing. `document` has passed its schema.
 */
export function complete(document: Document): Resource {
  switch (document.kind) {
    case "switch": {
      const { kind, name, description, maxStaleSeconds } = document;
      return { kind, name, ...optional({ description, maxStaleSeconds }) };
    }
    case "router":
      return completeRouter(document);
    case "port":
      return completePort(document);
    case "dataplane":
      return completeDataplane(document);
    case "acl":
      return completeAcl(document);
    case "load-balancer":
      return completeLoadBalancer(document);
    case "gateway":
      return completeGateway(document);
    case "chassis": {
      const { kind, name, underlay, workers, workersMax, natsLayout, version } = document;
      const size = { workers, ...optional({ workersMax, natsLayout }) };
      return { kind, name, underlay: canonicalAddress(underlay), ...size, version };
    }
    case "binding": {
      const { kind, name, port, chassis, epoch, up, detail } = document;
      const standby = document.standby === true ? true : undefined;
      return {
        kind,
        name,
        port,
        chassis,
        epoch,
        ...optional({ standby }),
        up,
        ...optional({ detail }),
      };
    }
    case "access":
      return completeAccess(document);
    case "audit":
      return completeAudit(document);
  }
}

/**
 * A MAC address for something without one: locally administered, unicast, always the same for the
 * same name. `name` is "port/<port>" or "router/<router>/<port>".
 */
export function defaultMac(name: string): string {
  const octets = [0x02, ...createHash("sha256").update(name).digest().subarray(0, 5)];
  return octets.map((octet) => octet.toString(16).padStart(2, "0")).join(":");
}

function completeRouter({ kind, name, ports, routes = [] }: RouterDocument): Router {
  return {
    kind,
    name,
    ports: ports.map((port) => ({
      name: port.name,
      switch: port.switch,
      mac: canonicalMac(port.mac ?? defaultMac(`router/${name}/${port.name}`)),
      addresses: port.addresses.map(canonicalPrefix),
    })),
    routes: routes.map((route) => ({
      prefix: canonicalPrefix(route.prefix),
      nextHop: canonicalAddress(route.nextHop),
    })),
  };
}

function completePort(port: PortDocument): Port {
  const { kind, name, portSecurity = true, chassis, gateway, device, driver } = port;
  return {
    kind,
    name,
    switch: port.switch,
    mac: canonicalMac(port.mac ?? defaultMac(`port/${name}`)),
    addresses: port.addresses.map(canonicalAddress),
    portSecurity,
    ...optional({ labels: canonicalLabels(port.labels) }),
    ...optional({ chassis, gateway, device, driver, migration: completeMigration(port.migration) }),
  };
}

function completeMigration(migration: PortDocument["migration"]): PortDocument["migration"] {
  if (migration === undefined) return undefined;
  const { chassis, device, driver, activation, activate } = migration;
  const frames = ACTIVATIONS.filter((frame) => activation?.includes(frame) ?? true);
  const isAsked = activate === true ? true : undefined;
  return {
    chassis,
    ...optional({ device, driver }),
    activation: frames,
    ...optional({ activate: isAsked }),
  };
}
