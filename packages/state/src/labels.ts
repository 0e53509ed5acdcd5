/**
 * Labels of ports, and the selectors of rules: both are labels by key, as Kubernetes has them
 * (Kubernetes documentation, "Labels and Selectors", "Syntax and character set"). Run by the
 * control thread.
 */
import { z } from "zod";
import { text } from "./fields.ts";
import { compareText } from "./record.ts";
import { RESERVED_PREFIX } from "./reserved-identities.ts";

export const LABELS_MAX = 32;
const PREFIX_LENGTH_MAX = 253;

/** By key; in canonical form the keys ascend. */
export type Labels = Readonly<Record<string, string>>;

const PART = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
const PREFIX = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;

const KEY =
  "keys of 1 to 63 of a-z, A-Z, 0-9, -, _ and ., a letter or digit at both ends; a DNS name " +
  "and / may stand in front";
const VALUE = "nothing, or 1 to 63 of a-z, A-Z, 0-9, -, _ and ., a letter or digit at both ends";
const COUNT = `at most ${LABELS_MAX} labels`;
const SOME = "at least one label";

const OWN = `labels without ${RESERVED_PREFIX} in front, which the router alone gives`;
const OF_PORTS = `labels of ports; what is ${RESERVED_PREFIX}… is told by source or destination`;

/** `reservedText` is what was expected where a key is of a reserved identity. */
function labelsByKey(reservedText: string) {
  const isReserved = (key: string): boolean => key.startsWith(RESERVED_PREFIX);
  const isKnown = (key: string): boolean => isReserved(key) || isKey(key);
  return z
    .record(
      z.string(),
      text(VALUE, (value) => value === "" || PART.test(value)),
    )
    .refine((labels) => !Object.keys(labels).some(isReserved), {
      params: { expected: reservedText },
    })
    .refine((labels) => Object.keys(labels).every(isKnown), { params: { expected: KEY } })
    .refine((labels) => Object.keys(labels).length <= LABELS_MAX, { params: { expected: COUNT } });
}

export const labelsSchema = labelsByKey(OWN).describe("Labels by key.");

/** Of a port's labels: it has all of these. */
export const selectorSchema = labelsByKey(OF_PORTS)
  .refine((labels) => Object.keys(labels).length > 0, { params: { expected: SOME } })
  .describe("Labels that a port has, all of them.");

/** With the keys in order; undefined for none, which is what a document without them says. */
export function canonicalLabels(labels: Labels | undefined): Labels | undefined {
  const entries = Object.entries(labels ?? {});
  if (entries.length === 0) return undefined;
  return Object.fromEntries(entries.sort(([a], [b]) => compareText(a, b)));
}

/** Whether a port with these labels is one that the selector means. */
export function selects(selector: Labels, labels: Labels | undefined): boolean {
  return Object.entries(selector).every(
    ([key, value]) => labels !== undefined && Object.hasOwn(labels, key) && labels[key] === value,
  );
}

function isKey(key: string): boolean {
  const slash = key.indexOf("/");
  if (slash < 0) return PART.test(key);
  const [prefix, rest] = [key.slice(0, slash), key.slice(slash + 1)];
  return prefix.length <= PREFIX_LENGTH_MAX && PREFIX.test(prefix) && PART.test(rest);
}
