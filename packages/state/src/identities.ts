/**
 * A number for each set of labels that some port has: made of the labels by a hash, so that every
 * chassis that knows the same ports says the same, without anybody who hands numbers out. A set
 * whose last port goes has no number any more: there is nothing to collect. Run by the control
 * thread; no packet carries the number, and no rule asks for it.
 *
 * Numbers below 256 are reserved; the others have the first bit set, which none of Cilium's has.
 */
import { createHash } from "node:crypto";
import type { Labels } from "./labels.ts";
import { compareText, compareVersions, type LiveEntry, type Version } from "./record.ts";
import {
  IDENTITY_INIT,
  RESERVED_IDENTITIES,
  type ReservedIdentity,
} from "./reserved-identities.ts";
import type { Port } from "./schema.ts";
import { formatLabels } from "./text.ts";

const FROM_LABELS = 0x80000000;

export interface Identity {
  /** Unsigned, 32 bits. */
  readonly number: number;
  readonly labels: Labels;
  /** Names of those that have just these labels, in their order. */
  readonly ports: readonly string[];
}

/** One that is reserved, or a set of labels. */
export type IdentityRow = Identity & Partial<ReservedIdentity>;

/** 31 bits for a set of labels; the attempt is 0, and one more for each number that was taken. */
export type IdentityHash = (labels: string, attempt: number) => number;

interface Claim {
  readonly text: string;
  readonly labels: Labels;
  readonly hash: string;
  readonly ports: string[];
  created: Version;
}

/**
 * The identities of all ports, by number. Of sets that want the same number the one whose oldest
 * port is older has it, or if they are as old the one whose hash is smaller; the other tries again.
 * Depends on nothing but `ports`, in whatever order they come.
 */
export function identitiesOf(
  ports: readonly LiveEntry<Port>[],
  numberOf: IdentityHash = numberFromSha256,
): Identity[] {
  const claims = claimsOf(ports).sort(
    (a, b) => compareVersions(a.created, b.created) || compareText(a.hash, b.hash),
  );
  const taken = new Map<number, Claim>();
  for (const claim of claims) {
    let attempt = 0;
    const next = (): number => (FROM_LABELS | numberOf(claim.text, attempt++)) >>> 0;
    let number = claim.text === "" ? IDENTITY_INIT : next();
    while (taken.has(number)) number = next();
    taken.set(number, claim);
  }
  return [...taken]
    .sort(([a], [b]) => a - b)
    .map(([number, { labels, ports }]) => ({ number, labels, ports: ports.sort(compareText) }));
}

/** The same, and those that are reserved, by number. */
export function allIdentitiesOf(ports: readonly LiveEntry<Port>[]): IdentityRow[] {
  const sets = identitiesOf(ports);
  const without = sets.find(({ number }) => number === IDENTITY_INIT)?.ports ?? [];
  const reserved = RESERVED_IDENTITIES.map((identity) => ({
    ...identity,
    labels: {},
    ports: identity.number === IDENTITY_INIT ? without : [],
  }));
  return [...reserved, ...sets.filter(({ number }) => number !== IDENTITY_INIT)];
}

function claimsOf(ports: readonly LiveEntry<Port>[]): Claim[] {
  const claims = new Map<string, Claim>();
  for (const { name, created, value } of ports) {
    const labels = value.labels ?? {};
    const text = formatLabels(labels);
    const known = claims.get(text);
    if (known === undefined) {
      claims.set(text, {
        text,
        labels,
        hash: sha256(text).toString("hex"),
        ports: [name],
        created,
      });
      continue;
    }
    known.ports.push(name);
    if (compareVersions(created, known.created) < 0) known.created = created;
  }
  return [...claims.values()];
}

/** Labels as "key=value,…" in the order of their keys; no label has any of these characters. */
function numberFromSha256(labels: string, attempt: number): number {
  const digest = sha256(attempt === 0 ? labels : `${labels},${attempt}`);
  return digest.readUInt32BE(0) & ~FROM_LABELS;
}

function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
