/**
 * Who may do what: the one table of routes and the role that each needs. A route that is not in it
 * cannot be added. Docs: docs/access.md.
 */
import type { Role } from "@rhone/state/access";
import type { UserKind } from "@rhone/state/schema";

/** "none": everybody, without a token. */
export type Need = Role | "none";

/** What says nothing of the network, and what a machine asks before it has a token. */
const OPEN = {
  "GET /": "none",
  "GET /healthz": "none",
  "GET /openapi.json": "none",
} as const;

const SEEING = {
  "GET /metrics": "viewer",
  "GET /v1/counters": "viewer",
  "GET /v1/workers": "viewer",
  "GET /v1/pipeline": "viewer",
  "GET /v1/peers": "viewer",
  "GET /v1/cluster": "viewer",
  "GET /v1/convergence": "viewer",
  "GET /v1/chassis": "viewer",
  "GET /v1/chassis/{name}": "viewer",
  "GET /v1/switches": "viewer",
  "GET /v1/switches/{name}": "viewer",
  "GET /v1/routers": "viewer",
  "GET /v1/routers/{name}": "viewer",
  "GET /v1/ports": "viewer",
  "GET /v1/ports/{name}": "viewer",
  "GET /v1/identities": "viewer",
  "GET /v1/acls": "viewer",
  "GET /v1/acls/{name}": "viewer",
  "GET /v1/load-balancers": "viewer",
  "GET /v1/load-balancers/{name}": "viewer",
  "GET /v1/gateways": "viewer",
  "GET /v1/gateways/{name}": "viewer",
  "GET /v1/dataplanes": "viewer",
  "GET /v1/chassis/{name}/dataplane": "viewer",
  "GET /v1/audit": "viewer",
} as const;

/** The networks: what a tenant's operator writes. */
const NETWORKS = {
  "PUT /v1/switches/{name}": "operator",
  "DELETE /v1/switches/{name}": "operator",
  "PUT /v1/routers/{name}": "operator",
  "DELETE /v1/routers/{name}": "operator",
  "PUT /v1/ports/{name}": "operator",
  "DELETE /v1/ports/{name}": "operator",
  "POST /v1/ports/{name}/activate": "operator",
  "PUT /v1/acls/{name}": "operator",
  "DELETE /v1/acls/{name}": "operator",
  "PUT /v1/load-balancers/{name}": "operator",
  "DELETE /v1/load-balancers/{name}": "operator",
  "PUT /v1/gateways/{name}": "operator",
  "DELETE /v1/gateways/{name}": "operator",
  /** And for each document in it what its kind needs. */
  "POST /v1/apply": "operator",
} as const;

/** How the machines work, and who may do all this. */
const MACHINES = {
  "PUT /v1/chassis/{name}/dataplane": "admin",
  "DELETE /v1/chassis/{name}/dataplane": "admin",
  "GET /v1/access": "admin",
  "POST /v1/access": "admin",
  "DELETE /v1/access/{name}": "admin",
  "GET /v1/audit/refused": "admin",
} as const;

export const NEEDS: Readonly<Record<string, Need>> = {
  ...OPEN,
  ...SEEING,
  ...NETWORKS,
  ...MACHINES,
};

/** To write a document of that kind. */
export const KIND_NEEDS: Readonly<Record<UserKind, Role>> = {
  switch: "operator",
  router: "operator",
  port: "operator",
  acl: "operator",
  "load-balancer": "operator",
  gateway: "operator",
  dataplane: "admin",
};

/** What a route needs, `path` with `{name}` for its variable. Throws when the table lacks it. */
export function needOf(method: string, path: string): Need {
  const route = `${method.toUpperCase()} ${path}`;
  if (Object.hasOwn(NEEDS, route)) return NEEDS[route]!;
  throw new Error(`${route}: expected the role that it needs in needs.ts, got nothing`);
}
