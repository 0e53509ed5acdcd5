/**
 * What the API answers about the running chassis, as schemas: their types are what the chassis
 * fills in, their JSON form is what `/openapi.json` publishes. Answers are not checked against
 * them.
 */
import { z } from "@hono/zod-openapi";
import { ROLES } from "@rhone/state/access";
import { METHODS } from "@rhone/state/audit";

const count = z.int().min(0);

const deviceCounts = {
  rxPackets: count,
  rxBytes: count,
  txPackets: count,
  txBytes: count,
  drops: count,
};

const traffic = z.object({ messages: count, bytes: count });

const age = z.number().min(0);

export const countersView = z
  .object({
    chassis: z.string(),
    workers: z.array(
      z.object({ index: count, loops: count, sleeps: count, pushed: count, popped: count }),
    ),
    stages: z.array(
      z.object({ number: count, name: z.string(), packets: count, batches: count, drops: count }),
    ),
    drops: z
      .array(z.object({ reason: z.string(), text: z.string(), packets: count }))
      .describe("Only reasons that occurred."),
    devices: z.array(
      z.object({ device: z.string(), port: z.string(), worker: count, ...deviceCounts }),
    ),
    tunnel: z.object(deviceCounts),
    connections: z.object({
      capacity: count,
      inUse: count,
      inserted: count,
      expired: count,
      earlyDropped: count,
      refused: count,
      pickedUp: count.describe(
        "Were begun by an answer, soon after a restart that had lost the question.",
      ),
      arrived: count.describe(
        "Came with a port from who had it before; each time that it was asked.",
      ),
      departed: count.describe("Were given to who their port went to; each time that it asked."),
    }),
    early: z
      .object({
        held: count.describe("Waited, or still wait."),
        released: count.describe("Went on when the tables came."),
        expired: count.describe("Were dropped when it did not come in time, or not at all."),
        refused: count.describe("Were dropped at once: too many waited."),
        senders: z
          .array(
            z.object({
              chassis: z.string().nullable().describe("null: none that is known here."),
              address: z.string(),
              ageMs: age.describe("Milliseconds since such a packet of it came."),
            }),
          )
          .describe("Who sent them, and so knew what this chassis did not; the latest first."),
      })
      .describe("Packets from other chassis that named what this one did not know yet."),
    compilations: z
      .object({
        steps: count.describe("From the tables before, where only what changed was written."),
        full: z
          .array(z.object({ reason: z.string(), text: z.string(), count }))
          .describe("Of everything, by why that was needed; only reasons that occurred."),
      })
      .describe("How generations of the tables were made."),
    beginnings: z
      .object({
        agreed: count.describe("When all chassis held the very same, or none else was concerned."),
        apart: count.describe("When all held what is new, but not the same beside it: as overdue."),
        overdue: count.describe("When somebody was waited for in vain: packets may see a mix."),
      })
      .describe("When generations of the tables came into force."),
    messages: z
      .array(z.object({ topic: z.string(), text: z.string(), sent: traffic, received: traffic }))
      .describe(
        "What was said to other chassis, and heard from them, by what it was about. Each message " +
          "counts once, whoever hears it, without what NATS, TLS and TCP add.",
      ),
  })
  .openapi("Counters");

export const workersView = z
  .object({
    chassis: z.string(),
    wanted: count.describe("Workers that there should be."),
    most: count.describe("Workers that there can be."),
    settled: z.boolean().describe("Whether every worker has what it should have."),
    workers: z.array(
      z.object({
        index: count,
        state: z.enum(["running", "starting", "leaving", "dead"]),
        asleep: z.boolean(),
        buckets: count.describe("Of 256 buckets of flows, those that the worker owns."),
        devices: z.array(z.string()),
        tunnelSockets: count,
        ringDepth: count.describe("Packets that wait for it in rings."),
        loops: count,
        sleeps: count,
        pushed: count,
        popped: count,
        fills: z.array(count).describe("Loops that took in 1, 2–3, 4–7, … packets."),
        clocks: z
          .array(
            z.object({ stage: z.string(), packets: count, batches: count, nanoseconds: count }),
          )
          .describe("Of one loop in 64: packets and time by stage; the fast path is one, too."),
      }),
    ),
    slots: z
      .object({
        total: count,
        free: count,
        returning: count.describe("On their way to the worker that hands them out."),
        waiting: count.describe("Lie ready for sockets to receive into."),
        early: count.describe("Of packets that wait for what they name, or for a first fragment."),
        lent: count.describe("The kernel has them."),
        inRings: count,
        withNobody: count.describe("Belong to workers that do not run."),
        unaccounted: z
          .int()
          .describe("What came to workers and neither left nor is there: 0, or slots are lost."),
      })
      .describe("Where the packet slots are; under traffic the parts are of slightly other times."),
  })
  .openapi("Workers");

export const stageView = z
  .object({
    number: count,
    name: z.string(),
    job: z.string().describe("What the stage does, one sentence."),
    resumable: z.boolean().describe("Whether a packet from another worker may go on here."),
  })
  .openapi("Stage");

export const healthView = z
  .object({
    status: z.enum(["ok", "degraded"]),
    checks: z.array(z.object({ name: z.string(), ok: z.boolean(), detail: z.string() })),
  })
  .openapi("Health");

export const identityView = z
  .object({
    number: count.describe("The same at every chassis that knows the same ports."),
    reserved: z.string().optional().describe("Its name, where no labels make it."),
    meaning: z.string().optional().describe("Of one that is reserved: what has it."),
    labels: z.record(z.string(), z.string()),
    ports: z.array(z.string()).describe("Those that have just these labels."),
  })
  .openapi("Identity");

export const peerView = z
  .object({
    name: z.string(),
    address: z.string(),
    connected: z.boolean(),
    lastSeenMs: z.number().describe("Milliseconds since the peer was last heard of."),
    revision: count.describe("The revision that the peer said it has."),
  })
  .openapi("Peer");

export const clusterView = z
  .object({
    chassis: z.string().describe("Who answers, and knows all this."),
    joined: z.boolean().describe("Whether it is a member by certificate."),
    doubt: count.describe("From 0 to 7: how much it doubts its own view; others get more time."),
    revision: count,
    knowledgeAgeMs: age
      .nullable()
      .describe(
        "Milliseconds since this chassis held all that more than half of all held; null: not " +
          "since its start.",
      ),
    nats: z.object({
      layout: z
        .enum(["mesh", "hubs"])
        .describe("Whether every nats-server has a route to every other, or those of hubs have."),
      role: z.enum(["mesh", "hub", "leaf"]).describe("Of this chassis' own nats-server."),
      hubs: z.array(z.string()).describe("The chassis that are hubs, as this one has it."),
    }),
    members: z
      .array(
        z.object({
          name: z.string(),
          address: z.string(),
          status: z.enum(["alive", "suspect", "dead"]),
          statusAgeMs: age.describe("Milliseconds since it has this status."),
          heardAgeMs: age
            .nullable()
            .describe("Milliseconds since it answered, itself or through others; null: never."),
          nats: z.object({
            heard: z.boolean().describe("Whether it is heard over NATS."),
            hearsUs: z
              .boolean()
              .nullable()
              .describe("Whether it says that it hears this chassis there; null: not known."),
          }),
          link: z
            .object({ up: z.boolean(), detail: z.string() })
            .nullable()
            .describe("The connection beside NATS; null where there is none."),
          state: z
            .object({
              same: z.boolean().describe("Whether it had the same state as this chassis has now."),
              revision: count,
              ageMs: age.describe("Milliseconds since it said so."),
              knowledgeAgeMs: age
                .nullable()
                .describe(
                  "Milliseconds since this chassis had all that the other had written; null: not " +
                    "since its start.",
                ),
            })
            .nullable()
            .describe("What it said of its state; null: nothing yet."),
        }),
      )
      .describe("The others, by name."),
    refused: z
      .record(z.string(), count)
      .describe("Messages and connections that were refused since the start, by reason."),
  })
  .openapi("Cluster");

export const LEVELS = ["local", "applied", "quorum"] as const;

const standing = z.object({
  name: z.string(),
  status: z.enum(["alive", "suspect", "dead"]).describe("As the chassis that answers sees it."),
  held: z.boolean().describe("Whether it has all of it."),
  applied: z.boolean().describe("Whether its workers run all of it."),
  revision: count.nullable().describe("When it said so; null: it did not answer."),
});

export const convergenceView = z
  .object({
    level: z
      .enum(LEVELS)
      .describe(
        "local: here; applied: at all that live; quorum: at more than half of all that are " +
          "known, and on their disks.",
      ),
    reached: z.boolean(),
    vector: z
      .record(z.string(), count)
      .describe("What was asked about: of each chassis, its transactions up to this one."),
    chassis: z.array(standing).describe("The one that answers, then the others by name."),
  })
  .openapi("Convergence");

export const portStatus = z
  .object({
    up: z.boolean(),
    chassis: z
      .string()
      .nullable()
      .describe("The chassis that has the port, null when none says so."),
    detail: z.string(),
    claims: z
      .array(
        z.object({
          chassis: z.string(),
          role: z
            .enum(["holder", "standby", "contender"])
            .describe(
              "standby: the port moves there, or it is a gateway's and another member forwards; " +
                "contender: claims it, in vain.",
            ),
          epoch: count,
          up: z.boolean(),
          since: z.string(),
          detail: z.string(),
        }),
      )
      .describe("Chassis that have a device of the port; the one that has the port is the first."),
  })
  .openapi("PortStatus");

export const gatewayStatus = z
  .object({
    active: z
      .string()
      .nullable()
      .describe("The member that forwards, as far as this chassis knows; null: none does."),
    epoch: count.describe("Grows each time that another member begins."),
    since: z.string().nullable().describe("When the member that forwards began."),
    warning: z.string().describe("What is dangerous about the group; empty when nothing is."),
    ports: z.array(z.string()).describe("Ports that name the gateway."),
    members: z.array(
      z.object({
        chassis: z.string(),
        role: z.enum(["active", "standby", "down"]),
        detail: z.string().describe("Why it does not forward."),
      }),
    ),
  })
  .openapi("GatewayStatus");

export const notInForce = z
  .string()
  .exactOptional()
  .describe("Why it, or a part of it, is not in force on this chassis.");

export const hits = count.describe("Packets that the rule decided about on this chassis.");

export const applyView = z
  .object({
    revision: count,
    documents: z.array(
      z.object({
        kind: z.string(),
        name: z.string(),
        result: z.enum(["created", "updated", "unchanged"]),
      }),
    ),
  })
  .openapi("Applied");

const access = {
  name: z.string(),
  role: z.enum(ROLES),
  created: z.string(),
  createdBy: z.string(),
  expires: z.string(),
  expired: z.boolean(),
};

export const accessView = z.object(access).openapi("Access");

export const grantedView = z
  .object({ ...access, token: z.string().describe("Shown here and never again.") })
  .openapi("Granted");

export const auditView = z
  .object({
    kind: z.literal("audit"),
    name: z.string(),
    chassis: z.string().describe("Where the change was made."),
    sequence: count.describe("Counts the entries of that chassis; only the newest are kept."),
    at: z.string(),
    who: z.string().describe("A token's name, unix: and a user id, or (no token)."),
    from: z.string().describe("An address, or unix."),
    method: z.enum(METHODS),
    path: z.string(),
    targets: z
      .array(z.object({ kind: z.string(), name: z.string(), change: z.string() }))
      .describe("What was changed; of a large change, a part."),
    targetCount: count.describe("How much was changed."),
    revision: count.describe("From which on the state of that chassis contains the change."),
  })
  .openapi("Audit");

export const refusedView = z
  .object({
    chassis: z.string(),
    counts: z.object({ 401: count, 403: count, 429: count }).describe("By status."),
    newest: z
      .array(
        z.object({
          at: z.string().describe("The last time."),
          who: z.string().nullable().describe("A token's name; null without a good token."),
          from: z.string(),
          method: z.string(),
          path: z.string(),
          status: z.union([z.literal(401), z.literal(403), z.literal(429)]),
          count: count.describe("How often the same was refused."),
        }),
      )
      .describe("The newest first."),
  })
  .openapi("Refused");

export const problemView = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    errors: z
      .array(
        z.object({
          pointer: z.string().describe("JSON Pointer into the request's body."),
          expected: z.string(),
          got: z.string(),
        }),
      )
      .optional(),
    revision: count.optional().describe("Of a change that was kept but is not yet applied."),
    chassis: z.array(standing).optional().describe("Who has such a change, and who runs it."),
  })
  .openapi("Problem", { description: "RFC 9457" });
