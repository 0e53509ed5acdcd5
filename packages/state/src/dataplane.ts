/**
 * How the data plane of one chassis works: how many workers it has, and where its stages run that
 * can run anywhere. Written by users under the chassis's name, at any chassis. Run by the control
 * thread.
 */
import { z } from "zod";
import { name } from "./fields.ts";
import { type Problem, problem } from "./problem.ts";
import type { Entry } from "./record.ts";
import type { Chassis } from "./schema.ts";
import { get, type State } from "./state.ts";

/** Stages that need no state of their own, by their names in the pipeline, with their numbers. */
export const PLACEABLE = {
  ...{ acl: 2, "load-balancing": 4, routing: 7, nat: 9, "egress-acl": 11 },
} as const;
export type PlaceableStage = keyof typeof PLACEABLE;

const WORKERS_MAX = 16;

const place = z
  .union([
    z.strictObject({
      worker: z
        .int()
        .min(0)
        .max(WORKERS_MAX - 1),
    }),
    z.strictObject({ chassis: name }),
  ])
  .describe('{"worker": 1}, of this chassis, or {"chassis": "b"}, another one');

export const dataplaneSchema = z.strictObject({
  kind: z.literal("dataplane"),
  /** The chassis's. */
  name,
  /** Data-plane threads; left out: as many as its configuration says. */
  workers: z.int().min(1).max(WORKERS_MAX).exactOptional(),
  placement: z
    .strictObject({
      acl: place.exactOptional(),
      "load-balancing": place.exactOptional(),
      routing: place.exactOptional(),
      nat: place.exactOptional(),
      "egress-acl": place.exactOptional(),
    })
    .exactOptional(),
});

export type DataplaneDocument = z.infer<typeof dataplaneSchema>;
export type StagePlace = z.infer<typeof place>;
export interface Dataplane {
  readonly kind: "dataplane";
  readonly name: string;
  readonly workers?: number;
  readonly placement: Readonly<Partial<Record<PlaceableStage, StagePlace>>>;
}

export function completeDataplane(document: DataplaneDocument): Dataplane {
  const { kind, name, workers, placement = {} } = document;
  const stages = Object.keys(PLACEABLE) as PlaceableStage[];
  const places = stages.flatMap((stage) => {
    const found = placement[stage];
    return found === undefined ? [] : [[stage, found] as const];
  });
  const rest = { placement: Object.fromEntries(places) };
  return workers === undefined ? { kind, name, ...rest } : { kind, name, workers, ...rest };
}

interface Proposal {
  readonly pointer: string;
  readonly entry: Entry;
}

/** Chassis and workers that a proposal names and `after` does not have. */
export function checkDataplane(after: State, { entry, pointer }: Proposal): Problem[] {
  const { value } = entry;
  if (value?.kind !== "dataplane") return [];
  const own = get(after, "chassis", value.name)?.value;
  if (own === undefined) {
    return [problem(`${pointer}/name`, "the name of a chassis that is known", value.name)];
  }
  return [...checkWorkers(value, own, pointer), ...checkPlaces(after, value, own, pointer)];
}

function checkWorkers({ workers }: Dataplane, own: Chassis, pointer: string): Problem[] {
  const most = own.workersMax ?? WORKERS_MAX;
  if (workers === undefined || workers <= most) return [];
  const expected = `1 to ${most}, the most that the chassis was configured for`;
  return [problem(`${pointer}/workers`, expected, workers)];
}

function checkPlaces(after: State, value: Dataplane, own: Chassis, pointer: string): Problem[] {
  const workers = value.workers ?? own.workers;
  return Object.entries(value.placement).flatMap(([stage, place]) => {
    const at = `${pointer}/placement/${stage}`;
    if ("worker" in place) {
      if (place.worker < workers) return [];
      return [problem(`${at}/worker`, oneOf(workers), place.worker)];
    }
    const isOther =
      place.chassis !== value.name && get(after, "chassis", place.chassis) !== undefined;
    return isOther
      ? []
      : [problem(`${at}/chassis`, "the name of another chassis that is known", place.chassis)];
  });
}

function oneOf(workers: number): string {
  return workers === 1
    ? "0, as the chassis is to have 1 worker"
    : `0 to ${workers - 1}, as the chassis is to have ${workers} workers`;
}
