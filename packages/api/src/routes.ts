/** Declaring a route: once, for the router and for the OpenAPI document. */
import { createRoute, type OpenAPIHono, type RouteConfig, z } from "@hono/zod-openapi";
import { aclSchema } from "@rhone/state/acl";
import { dataplaneSchema } from "@rhone/state/dataplane";
import { gatewaySchema } from "@rhone/state/gateway";
import { loadBalancerSchema } from "@rhone/state/load-balancer";
import {
  chassisSchema,
  portSchema,
  routerSchema,
  switchSchema,
  type UserKind,
} from "@rhone/state/schema";
import type { Context } from "hono";
import { gateOf } from "./gate.ts";
import { grantSchema } from "./grant.ts";
import { type Need, needOf } from "./needs.ts";
import { checkQuery } from "./request.ts";
import { gatewayStatus, hits, LEVELS, notInForce, portStatus, problemView } from "./views.ts";

type Method = "get" | "put" | "post" | "delete";
type Handler = (c: Context) => Response | Promise<Response>;
type Responses = RouteConfig["responses"];
/** An alias, not an interface: OpenAPI's type has an index signature. */
export type Parameter = {
  name: string;
  in: "path" | "query";
  required: boolean;
  description: string;
  schema: { type: "string" | "number"; enum?: string[]; minimum?: number };
};

/** A JSON Schema: a resource's by reference, or a list of them. */
export type JsonSchema =
  | { readonly $ref: string }
  | { readonly type: "array"; readonly items: object };

/** The name of the way to say who one is, in the OpenAPI document. */
export const BEARER = "token";

export interface Declaration {
  readonly summary: string;
  /** Parameters of the query; when left out, a write has those that say whether it waits. */
  readonly query?: readonly Parameter[];
  /** Schema of the request's body; it is read and checked by the handler. */
  readonly body?: JsonSchema;
  /** Status and what it means, with the schema of its body if it has one. */
  readonly answers: Readonly<
    Record<number, { readonly description: string; readonly schema?: JsonSchema | z.ZodType }>
  >;
}

/**
 * Adds a route, for those who may use it by needs.ts; `path` with `{name}` for its variable. Throws
 * when the table lacks it.
 */
export function addRoute(
  app: OpenAPIHono,
  method: Method,
  path: string,
  declaration: Declaration,
  handler: Handler,
): void {
  const { body } = declaration;
  const need = needOf(method, path);
  const query = declaration.query ?? (method === "get" ? [] : WAIT_PARAMETERS);
  const config: RouteConfig = {
    method,
    path,
    summary: declaration.summary,
    parameters: [...(path.includes("{name}") ? NAME_PARAMETERS : []), ...query],
    responses: responsesOf(declaration, need),
    ...(need === "none"
      ? { security: [] }
      : { description: `Needs the role ${need}.`, security: [{ [BEARER]: [] }] }),
  };
  if (body !== undefined) {
    const content = { "application/json": { schema: body as object } };
    config.request = { body: { required: true, content } };
  }
  const known = query.map(({ name }) => name);
  const enter = (c: Context): Response | Promise<Response> => {
    const refusal = gateOf(c).enter(c, need);
    // Who only asks whether the chassis is well may add what keeps answers out of caches.
    return refusal ?? (need === "none" ? undefined : checkQuery(c, known)) ?? handler(c);
  };
  const enterToWrite = async (c: Context): Promise<Response> => {
    const gate = gateOf(c);
    const refusal = gate.enter(c, need);
    if (refusal !== undefined) return refusal;
    await gate.mayWrite();
    return handler(c);
  };
  app.openapi(createRoute(config), method === "get" ? enter : enterToWrite);
}

/** Documents as users write them, and as the API answers with them. */
export function registerSchemas(app: OpenAPIHono): void {
  app.openAPIRegistry.registerComponent("securitySchemes", BEARER, {
    type: "http",
    scheme: "bearer",
    bearerFormat: "rhone_<name>_<secret>",
    description:
      "A token of `rhone access grant`. Over the UNIX socket, and on the loopback interface of a " +
      "chassis that belongs to no cluster, none is needed.",
  });
  const view = { mac: z.string(), portSecurity: z.boolean(), status: portStatus };
  const schemas = {
    Switch: switchSchema,
    Router: routerSchema,
    Port: portSchema,
    Chassis: chassisSchema,
    Acl: aclSchema,
    LoadBalancer: loadBalancerSchema,
    Gateway: gatewaySchema,
    GatewayView: z.strictObject({ ...gatewaySchema.shape, status: gatewayStatus, notInForce }),
    Dataplane: dataplaneSchema,
    Grant: grantSchema,
    SwitchView: z.strictObject({ ...switchSchema.shape, notInForce }),
    RouterView: z.strictObject({ ...routerSchema.shape, notInForce }),
    AclView: z.strictObject({ ...aclSchema.shape, hits, notInForce }),
    PortView: z.strictObject({ ...portSchema.shape, ...view, notInForce }),
    LoadBalancerView: z.strictObject({ ...loadBalancerSchema.shape, notInForce }),
    DataplaneView: z.strictObject({ ...dataplaneSchema.shape, notInForce }),
  };
  for (const [name, schema] of Object.entries(schemas)) {
    const { $schema, ...json } = z.toJSONSchema(schema, { io: "input" });
    app.openAPIRegistry.registerComponent("schemas", name, json as object);
  }
}

/** The document of that kind. */
export function documentSchema(kind: UserKind): JsonSchema {
  return { $ref: `#/components/schemas/${SCHEMA_NAMES[kind]}` };
}

/** What the API answers for that kind. */
export function viewSchema(kind: UserKind): JsonSchema {
  return { $ref: `#/components/schemas/${SCHEMA_NAMES[kind]}View` };
}

export const GRANT_SCHEMA: JsonSchema = { $ref: "#/components/schemas/Grant" };
export const CHASSIS_SCHEMA: JsonSchema = { $ref: "#/components/schemas/Chassis" };

export function listOf(items: JsonSchema): JsonSchema {
  return { type: "array", items };
}

const SCHEMA_NAMES = {
  switch: "Switch",
  router: "Router",
  port: "Port",
  acl: "Acl",
  "load-balancer": "LoadBalancer",
  gateway: "Gateway",
  dataplane: "Dataplane",
} as const;

const NAME_PARAMETERS: Parameter[] = [
  {
    name: "name",
    in: "path",
    required: true,
    description: "Name of the resource.",
    schema: { type: "string" },
  },
];

export const WAIT_PARAMETERS: readonly Parameter[] = [
  {
    name: "wait",
    in: "query",
    required: false,
    description:
      "Answer when it is in force: local, at this chassis; applied, at all that live; quorum, at " +
      "more than half of all that are known, and on their disks.",
    schema: { type: "string", enum: [...LEVELS] },
  },
  {
    name: "timeout",
    in: "query",
    required: false,
    description: "Milliseconds to wait at most, 5000 when left out.",
    schema: { type: "number", minimum: 1 },
  },
];

const PROBLEM = { content: { "application/problem+json": { schema: problemView } } };

const REFUSALS: Responses = {
  401: { description: "No token, or one that is not good", ...PROBLEM },
  403: { description: "The token's role is not enough", ...PROBLEM },
  429: { description: "Too many wrong tokens came from there", ...PROBLEM },
};

function responsesOf({ answers }: Declaration, need: Need): Responses {
  const responses: Responses = {
    default: { description: "What was wrong", ...PROBLEM },
  };
  if (need !== "none") Object.assign(responses, REFUSALS);
  for (const [status, { description, schema }] of Object.entries(answers)) {
    responses[status] =
      schema === undefined
        ? { description }
        : { description, content: { "application/json": { schema: schema as z.ZodType } } };
  }
  return responses;
}
