/** `rhone cluster status`: what one chassis knows of the others, in plain words. */
import type { ClusterView } from "@rhone/api/context";
import { formatTable } from "./table.ts";

/** Older knowledge of another chassis is worth saying: several heartbeats brought nothing. */
const STALE_MS = 5000;

type Member = ClusterView["members"][number];

/** Both directions of NATS, from the chassis that answers. */
function natsOf({ nats: { heard, hearsUs } }: Member): string {
  if (heard && hearsUs !== false) return "both ways";
  if (heard) return "to us only";
  return hearsUs ? "from us only" : "no way";
}

function linkOf({ link }: Member): string {
  if (link === null) return "none";
  return link.up ? "up" : "down";
}

function stateOf({ state }: Member): string {
  if (state === null) return "unknown";
  const what = state.same ? "same" : "other";
  return `${what} (revision ${state.revision}, ${agoOf(state.ageMs)})`;
}

/** A table, then a sentence for each thing that is not as it should be. */
export function formatClusterStatus(view: ClusterView): string {
  const { chassis, members, revision } = view;
  const rows = members.map((member) => [
    ...[member.name, member.address, `${member.status} ${durationOf(member.statusAgeMs)}`],
    ...[member.heardAgeMs === null ? "never" : agoOf(member.heardAgeMs)],
    ...[natsOf(member), linkOf(member), stateOf(member)],
  ]);
  const self = [chassis, "(this one)", "alive", "", "", "", `revision ${revision}`];
  const head = ["name", "underlay", "status", "heard", "NATS", "link", "state"];
  const troubles = troublesOf(view);
  const sentences = [...(troubles.length > 0 ? troubles : [summaryOf(view)]), ...notesOf(view)];
  return `${formatTable([head, self, ...rows])}\n\n${sentences.join("\n")}`;
}

/** What is wrong, one sentence each. */
export function troublesOf({ chassis, members, doubt }: ClusterView): string[] {
  const troubles = members.flatMap((member) => troublesWith(member, chassis));
  if (doubt === 0) return troubles;
  const why = `${chassis} doubts its own view (${doubt} of 7): it was late or missed answers`;
  return [...troubles, `${why}, and gives others ${doubt + 1} times the time.`];
}

/** What is worth knowing and no trouble now. */
function notesOf({ chassis, members, joined, nats, refused }: ClusterView): string[] {
  const notes: string[] = [];
  if (nats.layout === "hubs") {
    const names = nats.hubs.join(", ").replace(/, ([^,]*)$/, " and $1");
    const role = nats.role === "hub" ? "one of them" : "a leaf of one";
    notes.push(`NATS has ${nats.hubs.length} hubs, ${names}; ${chassis} is ${role}.`);
  }
  if (!joined && members.length > 0) {
    notes.push(`${chassis} has joined no cluster: its messages are neither secret nor signed.`);
  }
  const counts = Object.entries(refused).map(([reason, count]) => `${reason} ${count}`);
  if (counts.length > 0) notes.push(`Refused since the start: ${counts.sort().join(", ")}.`);
  return notes;
}

function troublesWith(member: Member, chassis: string): string[] {
  const { name, status, statusAgeMs, heardAgeMs, nats, link, state } = member;
  const knowledgeAgeMs = state?.knowledgeAgeMs ?? null;
  const heard = heardAgeMs === null ? "it was never heard" : `last heard ${agoOf(heardAgeMs)}`;
  if (status === "dead") {
    const known =
      knowledgeAgeMs === null ? "" : `; what it did is known up to ${agoOf(knowledgeAgeMs)}`;
    const what = `${name} is dead for ${durationOf(statusAgeMs)}: nobody gets an answer; ${heard}`;
    return [`${what}${known}.`];
  }
  const troubles: string[] = [];
  if (knowledgeAgeMs !== null && knowledgeAgeMs > STALE_MS) {
    troubles.push(`What ${chassis} knows of ${name} is ${durationOf(knowledgeAgeMs)} old.`);
  }
  if (status === "suspect") {
    troubles.push(`${name} is suspect for ${durationOf(statusAgeMs)}: no answer yet; ${heard}.`);
  }
  if (!nats.heard || nats.hearsUs === false) {
    const way = link?.up ? "messages go over the link" : "and there is no link";
    troubles.push(`NATS has a hole between ${chassis} and ${name} (${natsOf(member)}): ${way}.`);
  }
  if (link !== null && !link.up) {
    troubles.push(`The link from ${chassis} to ${name} is down: ${link.detail || "not yet up"}.`);
  }
  if (state?.same === false) {
    troubles.push(
      `${name} did not have the same state as ${chassis} when last heard, ${agoOf(state.ageMs)}: ` +
        `revision ${state.revision}.`,
    );
  }
  return troubles;
}

function summaryOf({ chassis, members }: ClusterView): string {
  if (members.length === 0) return `${chassis} knows of no other chassis.`;
  return `All ${members.length + 1} chassis live, hear each other and hold the same state.`;
}

function agoOf(ageMs: number): string {
  return `${durationOf(ageMs)} ago`;
}

/** In the largest unit that there is one of: 350 ms, 2.5 s, 12 min, 3 h. */
export function durationOf(durationMs: number): string {
  if (durationMs < 1000) return `${Math.round(durationMs)} ms`;
  if (durationMs < 60_000) return `${(durationMs / 1000).toFixed(1)} s`;
  if (durationMs < 3_600_000) return `${Math.floor(durationMs / 60_000)} min`;
  return `${Math.floor(durationMs / 3_600_000)} h`;
}
