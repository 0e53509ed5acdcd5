/**
 * Who of the cluster lives, found out together: SWIM (Das, Gupta, Motivala 2002) with Lifeguard
 * (Dadgar, Phillips, Currey 2017, arXiv 1707.00788). A state machine without a clock, a network or
 * chance of its own: `step` takes an event and gives the next state and what is to be done. The
 * state that it was given is used up.
 *
 *   each 500 ms  one other chassis is asked whether it lives (ping → ack), all in turn; whoever
 *                was heard of late lives, and is passed over
 *   + 250 ms     no answer: three more are asked to try (ping-request → ping → ack, else nack)
 *   + 250 ms     still none: it is suspect, and everybody is told
 *   + 2·log10 N  probes later, or up to three times that while nobody else accuses it: it is dead
 *
 * A suspect that lives hears of it, with the next ping at the latest, and says so as its next
 * incarnation. News ride on messages that are sent anyway, and each 200 ms some are told by
 * themselves while there are any. The dead are asked now and then: that heals a partition.
 *
 * Lifeguard is the doubt about oneself, `health`: who misses answers, hears that it is suspect, or
 * was late itself, gives others up to eight times the time.
 */
import { seededRandom } from "../seeded-random.ts";
import type { Member } from "./claim.ts";
import { Draft } from "./draft.ts";
import type { Message } from "./messages.ts";
import {
  deathMs,
  type Effect,
  type Event,
  PROBE_INTERVAL_MS,
  type Probe,
  type State,
} from "./state.ts";

/** Who was heard within it need not be asked. */
const FRESH_MS = 1.5 * PROBE_INTERVAL_MS;
const PROBE_TIMEOUT_MS = 250;
const ASKED_COUNT = 3;
const SPREAD_INTERVAL_MS = 200;
const SPREAD_COUNT = 3;
/** With one probe. */
const SUSPECTS_ASKED_MAX = 8;
/** Of that many probes, one more goes to a dead member. */
const DEAD_PROBE_EVERY = 4;
/** Between the timeout of a ping and what is left of it to tell the asker. */
const NACK_AFTER_MS = 0.8 * PROBE_TIMEOUT_MS;
const RELAYS_MAX = 64;
/** The dead whom the state does not name any more are kept that long. */
const FORGET_MS = 3_600_000;

export function step(state: State, event: Event): { state: State; effects: Effect[] } {
  const draft = new Draft(state, event.nowMs);
  switch (event.type) {
    case "tick":
      tick(draft, event.lateMs, seededRandom(event.entropy));
      break;
    case "message":
      receive(draft, event.from, event.message);
      break;
    case "known":
      draft.known = new Set(event.names);
      for (const name of event.names) draft.meet(name);
      break;
  }
  return { state: draft.state(), effects: draft.effects };
}

function tick(draft: Draft, lateMs: number, random: () => number): void {
  if (lateMs > PROBE_TIMEOUT_MS) forgive(draft, lateMs);
  const { probe, nowMs } = draft;
  if (probe !== null && nowMs >= probe.endMs) endProbe(draft, probe);
  else if (probe !== null && nowMs >= probe.askMs) askOthers(draft, probe, random);
  buryAndForget(draft);
  tendRelays(draft);
  if (nowMs >= draft.probeMs) startProbe(draft, random);
  if (draft.news.size > 0 && nowMs >= draft.spreadMs) spread(draft, random);
}

/** We were away ourselves: that time counts against nobody else. */
function forgive(draft: Draft, lateMs: number): void {
  draft.doubt(1 + Math.floor(lateMs / PROBE_INTERVAL_MS));
  const { probe } = draft;
  if (probe !== null) {
    draft.probe = { ...probe, askMs: probe.askMs + lateMs, endMs: probe.endMs + lateMs };
    draft.probeMs = Math.max(draft.probeMs, draft.probe.endMs);
  }
  for (const member of draft.members.values()) {
    if (member.status !== "suspect") continue;
    draft.set({ ...member, sinceMs: member.sinceMs + lateMs });
  }
}

function startProbe(draft: Draft, random: () => number): void {
  const factor = 1 + draft.health;
  draft.probeMs = draft.nowMs + PROBE_INTERVAL_MS * factor;
  if (random() * DEAD_PROBE_EVERY < 1) {
    const [dead] = choose(draft, 1, random, ({ status }) => status === "dead");
    if (dead !== undefined) draft.send(dead, "ping", draft.nextSeq());
  }
  // News of its next incarnation may have missed us alone: each suspect is asked by all, again.
  const suspects = choose(draft, SUSPECTS_ASKED_MAX, random, ({ status }) => status === "suspect");
  for (const suspect of suspects) {
    // Whom we do not reach ourselves, others have to tell what we accuse it of.
    if (draft.members.get(suspect)?.accusers.includes(draft.name)) draft.tell(suspect);
    draft.send(suspect, "ping", draft.nextSeq());
  }
  const target = unaccused(draft) ?? nextInTurn(draft, random);
  if (target === undefined) {
    draft.doubt(-1); // All spoke of late: as good as an answer.
    return;
  }
  const seq = draft.nextSeq();
  const askMs = draft.nowMs + PROBE_TIMEOUT_MS * factor;
  draft.probe = { target, seq, askMs, endMs: draft.probeMs, asked: [], nacks: [] };
  draft.send(target, "ping", seq, "", "once");
}

/** A suspect that we have not asked ourselves: one more voice makes its end certain sooner. */
function unaccused({ members, name, suspectCount }: Draft): string | undefined {
  if (suspectCount === 0) return undefined;
  for (const member of members.values()) {
    if (member.status === "suspect" && !member.accusers.includes(name)) return member.name;
  }
  return undefined;
}

/** All in turn, each time in another order: whoever is dead is asked within two turns. */
function nextInTurn(draft: Draft, random: () => number): string | undefined {
  for (let round = 0; round < 2; round++) {
    const turn = [...draft.turn];
    while (turn.length > 0) {
      const name = turn.pop()!;
      const member = draft.members.get(name);
      if (member === undefined || member.status === "dead") continue;
      if (draft.nowMs - (member.heardMs ?? Number.NEGATIVE_INFINITY) < FRESH_MS) continue;
      draft.turn = turn;
      return name;
    }
    draft.turn = choose(draft, draft.members.size, random, ({ status }) => status !== "dead");
  }
  return undefined;
}

function askOthers(draft: Draft, probe: Probe, random: () => number): void {
  const { target, seq } = probe;
  const asked = choose(draft, ASKED_COUNT, random, ({ name, status }) => {
    return name !== target && status === "alive";
  });
  draft.probe = { ...probe, askMs: Number.POSITIVE_INFINITY, asked };
  for (const name of asked) draft.send(name, "ping-request", seq, target);
  // The same way is tried once more, since messages get lost.
  draft.send(target, "ping", seq);
}

/** No answer at all. Who was asked and did not even say so makes us doubt ourselves. */
function endProbe(draft: Draft, { target, asked, nacks }: Probe): void {
  draft.probe = null;
  const member = draft.members.get(target);
  // Of a suspect others say the same: what is amiss is not here.
  if (member?.status !== "suspect") draft.doubt(asked.length - nacks.length);
  if (member === undefined || member.status === "dead") return;
  // With nobody to ask, it may as well be us; the second time says nothing more.
  if (asked.length === 0 && member.status === "alive") draft.doubt(1);
  const { incarnation } = member;
  draft.learn({ name: target, status: "suspect", incarnation, by: draft.name });
  draft.send(target, "tell", 0); // Let it say at once that it lives.
}

function buryAndForget(draft: Draft): void {
  const { livingCount, suspectCount, members } = draft;
  const areAllAlive = suspectCount === 0 && livingCount === members.size + 1;
  if (areAllAlive) return;
  for (const member of draft.members.values()) {
    const { name, status, incarnation, sinceMs } = member;
    if (status === "suspect" && draft.nowMs >= deathMs(member, livingCount, draft.health)) {
      draft.learn({ name, status: "dead", incarnation, by: "" });
    }
    const isOver = status === "dead" && draft.nowMs - sinceMs >= FORGET_MS;
    if (isOver && !draft.known.has(name)) draft.remove(name);
  }
}

function tendRelays(draft: Draft): void {
  const { nowMs, relays } = draft;
  if (relays.every((relay) => nowMs < relay.nackMs && nowMs < relay.endMs)) return;
  draft.relays = relays
    .filter(({ endMs }) => nowMs < endMs)
    .map((relay) => {
      if (nowMs < relay.nackMs) return relay;
      draft.send(relay.asker, "nack", relay.askerSeq);
      return { ...relay, nackMs: Number.POSITIVE_INFINITY };
    });
}

function spread(draft: Draft, random: () => number): void {
  draft.spreadMs = draft.nowMs + SPREAD_INTERVAL_MS;
  const names = choose(draft, SPREAD_COUNT, random, ({ status }) => status !== "dead");
  for (const name of names) draft.send(name, "tell", 0);
}

function receive(draft: Draft, from: string, message: Message): void {
  if (from === draft.name || draft.meet(from) === undefined) return;
  draft.learn({ name: from, status: "alive", incarnation: message.incarnation, by: "" });
  draft.heard(from);
  for (const claim of message.claims) draft.learn(claim);
  // A suspicion is confirmed or refuted now, not when it is its turn.
  const isNews = message.claims.some(({ status }) => status === "suspect");
  if (isNews && draft.probe === null && unaccused(draft) !== undefined) {
    draft.probeMs = Math.min(draft.probeMs, draft.nowMs);
  }
  switch (message.type) {
    case "ping":
      draft.send(from, "ack", message.seq, "", "back");
      return;
    case "ping-request":
      relay(draft, from, message);
      return;
    case "ack":
      takeAck(draft, from, message.seq);
      return;
    case "nack": {
      const { probe } = draft;
      if (probe?.seq !== message.seq || !probe.asked.includes(from)) return;
      if (!probe.nacks.includes(from)) draft.probe = { ...probe, nacks: [...probe.nacks, from] };
      return;
    }
    case "tell":
      return; // What it told was learnt already.
  }
}

function relay(draft: Draft, asker: string, { target, seq: askerSeq }: Message): void {
  if (!draft.members.has(target) || draft.relays.length >= RELAYS_MAX) return;
  const seq = draft.nextSeq();
  const nackMs = draft.nowMs + NACK_AFTER_MS;
  const endMs = draft.nowMs + PROBE_INTERVAL_MS;
  draft.relays = [...draft.relays, { asker, askerSeq, target, seq, nackMs, endMs }];
  draft.send(target, "ping", seq);
}

function takeAck(draft: Draft, from: string, seq: number): void {
  const { probe, relays } = draft;
  if (probe?.seq === seq && (probe.target === from || probe.asked.includes(from))) {
    draft.probe = null;
    draft.doubt(-1);
    draft.heard(probe.target);
    return;
  }
  const relay = relays.find((known) => known.seq === seq && known.target === from);
  if (relay === undefined) return;
  draft.relays = relays.filter((other) => other !== relay);
  draft.send(relay.asker, "ack", relay.askerSeq);
}

/** Up to `count` names of those that are wanted, in random order. */
function choose(
  { members }: Draft,
  count: number,
  random: () => number,
  isWanted: (member: Member) => boolean,
): string[] {
  const names: string[] = [];
  for (const member of members.values()) if (isWanted(member)) names.push(member.name);
  const chosenCount = Math.min(count, names.length);
  for (let i = 0; i < chosenCount; i++) {
    const j = i + Math.floor(random() * (names.length - i));
    [names[i], names[j]] = [names[j]!, names[i]!];
  }
  return names.slice(0, chosenCount);
}
