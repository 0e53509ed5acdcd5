/**
 * Documents in the words that users read, on a terminal and in a browser. Depends on nothing.
 */
import type { AclMatch } from "./acl.ts";
import type { Labels } from "./labels.ts";
import type { Vip } from "./load-balancer.ts";

/** "app=web,tier=front" */
export function formatLabels(labels: Labels): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(",");
}

/** "tcp 10.0.9.9:80" of a VIP, "10.0.1.10:8080" of a backend */
export function endText({ address, protocol, port }: Omit<Vip, "backends">): string {
  const at =
    port === undefined ? address : `${address.includes(":") ? `[${address}]` : address}:${port}`;
  return protocol === undefined ? at : `${protocol} ${at}`;
}

/** "tcp from app=web in 10.0.0.0/8 to 10.0.2.10/32:443" */
export function matchText({
  protocol,
  source,
  destination,
  sourceLabels,
  destinationLabels,
  sourcePorts,
  destinationPorts,
}: AclMatch): string {
  const end = (network: string | undefined, labels: Labels | undefined, ports?: string): string => {
    const who = [labels && formatLabels(labels), network].filter(Boolean).join(" in ");
    return ports === undefined ? who : `${who || "any"}:${ports}`;
  };
  const from = end(source, sourceLabels, sourcePorts);
  const to = end(destination, destinationLabels, destinationPorts);
  const words = [protocol ?? "", from && `from ${from}`, to && `to ${to}`];
  return words.filter((word) => word !== "").join(" ") || "everything";
}
