/** Where a chassis has placed its stages, in words. */
import type { StagePlace } from "@rhone/state/dataplane";

/** "acl at chassis b, routing at worker 1" */
export function placementText(placement: Readonly<Record<string, StagePlace>>): string {
  const places = Object.entries(placement).map(([stage, place]) =>
    "worker" in place
      ? `${stage} at worker ${place.worker}`
      : `${stage} at chassis ${place.chassis}`,
  );
  return places.join(", ") || "every stage where its packet is";
}
