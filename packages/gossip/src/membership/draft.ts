/** The next state of a membership while it is made: what swim.ts does, in small steps. */
import type { Way } from "../peer-link/fallback-transport.ts";
import { type Claim, confirms, type Member, overrides, type Status } from "./claim.ts";
import { CLAIMS_MAX, type Message, SEQ_MAX } from "./messages.ts";
import {
  CONFIRMATIONS_MAX,
  type Effect,
  HEALTH_MAX,
  MEMBERS_MAX,
  type Probe,
  type Relay,
  type State,
} from "./state.ts";

/** Times that a piece of news is told, by the logarithm of how many there are. */
const RETRANSMIT_FACTOR = 4;

/**
 * The maps of the state that it began with are taken over and changed: with a thousand members, a
 * copy for each message would cost more than all else.
 */
export class Draft {
  readonly before: State;
  readonly nowMs: number;
  readonly effects: Effect[] = [];
  incarnation: number;
  readonly #members: Map<string, Member>;
  known: ReadonlySet<string>;
  readonly #news: Map<string, number>;
  turn: readonly string[];
  seq: number;
  health: number;
  probeMs: number;
  spreadMs: number;
  probe: Probe | null;
  relays: readonly Relay[];
  livingCount: number;
  suspectCount: number;

  constructor(before: State, nowMs: number) {
    this.before = before;
    this.nowMs = nowMs;
    this.incarnation = before.incarnation;
    this.#members = before.members;
    this.livingCount = before.livingCount;
    this.suspectCount = before.suspectCount;
    this.known = before.known;
    this.#news = before.news;
    this.turn = before.turn;
    this.seq = before.seq;
    this.health = before.health;
    this.probeMs = before.probeMs;
    this.spreadMs = before.spreadMs;
    this.probe = before.probe;
    this.relays = before.relays;
  }

  get name(): string {
    return this.before.name;
  }

  get members(): ReadonlyMap<string, Member> {
    return this.#members;
  }

  get news(): ReadonlyMap<string, number> {
    return this.#news;
  }

  state(): State {
    const { name, incarnation, livingCount, suspectCount, known, turn } = this;
    const [members, news] = [this.#members, this.#news];
    const { seq, health, probeMs, spreadMs, probe, relays } = this;
    return {
      ...{ name, incarnation, members, livingCount, suspectCount, known, news, turn },
      ...{ seq, health, probeMs, spreadMs, probe, relays },
    };
  }

  nextSeq(): number {
    this.seq = (this.seq % SEQ_MAX) + 1;
    return this.seq;
  }

  doubt(by: number): void {
    this.health = Math.min(HEALTH_MAX, Math.max(0, this.health + by));
  }

  set(member: Member): void {
    this.#count(this.#members.get(member.name)?.status, -1);
    this.#count(member.status, 1);
    this.#members.set(member.name, member);
  }

  remove(name: string): void {
    this.#count(this.#members.get(name)?.status, -1);
    this.#members.delete(name);
    this.#tellTimes(name, 0);
  }

  /** Says that there is one more, or one less, of that status. */
  #count(status: Status | undefined, by: 1 | -1): void {
    if (status === "suspect") this.suspectCount += by;
    if (status === "suspect" || status === "alive") this.livingCount += by;
  }

  /** The member of that name, made if there is room; undefined for ourselves and when full. */
  meet(name: string): Member | undefined {
    const present = this.members.get(name);
    if (present !== undefined || name === this.name) return present;
    if (this.members.size >= MEMBERS_MAX) {
      this.effects.push({ type: "refuse", name });
      return undefined;
    }
    const fresh = { name, incarnation: 0, sinceMs: this.nowMs, heardMs: null, accusers: [] };
    const member: Member = { ...fresh, status: "alive" };
    this.set(member);
    this.effects.push({ type: "status", name, status: "alive" });
    return member;
  }

  /** It answered or spoke. */
  heard(name: string): void {
    const member = this.members.get(name);
    if (member !== undefined) this.set({ ...member, heardMs: this.nowMs });
  }

  /** Takes a claim in, whoever made it, and passes it on when it is news. */
  learn(claim: Claim): void {
    const { name, status, incarnation, by } = claim;
    if (name === this.name) {
      this.#answer(claim);
      return;
    }
    // Of strangers, only that they live is of interest.
    const member = status === "alive" ? this.meet(name) : this.members.get(name);
    if (member === undefined) return;
    if (confirms(claim, member)) {
      if (member.accusers.length > CONFIRMATIONS_MAX) return;
      this.set({ ...member, accusers: [...member.accusers, by] });
      this.tell(name);
      return;
    }
    if (!overrides(claim, member)) return;
    const isNews = status !== member.status;
    const sinceMs = isNews || status === "suspect" ? this.nowMs : member.sinceMs;
    const accusers = status === "suspect" ? [by] : [];
    this.set({ ...member, status, incarnation, sinceMs, accusers });
    if (isNews) this.effects.push({ type: "status", name, status });
    this.tell(name);
  }

  /** Somebody speaks about us: what is wrong is said better, as the next incarnation. */
  #answer({ status, incarnation }: Claim): void {
    if (incarnation < this.incarnation) return;
    if (status === "alive" && incarnation === this.incarnation) return;
    this.incarnation = incarnation + 1;
    this.tell(this.name);
    if (status !== "alive") this.doubt(1);
  }

  /** What is known about `name` is news, for as many messages as a cluster of this size needs. */
  tell(name: string): void {
    this.#tellTimes(name, RETRANSMIT_FACTOR * Math.ceil(Math.log10(this.livingCount + 1)));
  }

  #tellTimes(name: string, times: number): void {
    if (times > 0) this.#news.set(name, times);
    else this.#news.delete(name);
  }

  send(to: string, type: Message["type"], seq: number, target = "", way: Way = "surely"): void {
    const claims = this.#claimsFor(to);
    const message = { type, seq, target, incarnation: this.incarnation, claims };
    this.effects.push({ type: "send", to, message, way });
  }

  /** The newest news, and before them what `to` should know about itself. */
  #claimsFor(to: string): Claim[] {
    const accused = this.members.get(to);
    const claims: Claim[] = [];
    if (accused !== undefined && accused.status !== "alive") claims.push(this.#claimAbout(to)!);
    for (const name of this.#newest()) {
      if (claims.length >= CLAIMS_MAX) break;
      const claim = name === to ? null : this.#claimAbout(name); // It knows that it lives.
      if (claim !== null) claims.push(claim);
      this.#tellTimes(name, this.news.get(name)! - 1);
    }
    return claims;
  }

  /** What was told least comes first. Not sorted: while a cluster starts, all of it is news. */
  *#newest(): Generator<string> {
    const byTimes: string[][] = [];
    for (const [name, times] of this.news) (byTimes[times] ??= []).push(name);
    for (let times = byTimes.length - 1; times >= 0; times--) yield* byTimes[times] ?? [];
  }

  #claimAbout(name: string): Claim | null {
    if (name === this.name) return { name, status: "alive", incarnation: this.incarnation, by: "" };
    const member = this.members.get(name);
    if (member === undefined) return null;
    const { status, incarnation, accusers } = member;
    // The last accuser is the news; everybody who is told counts different ones.
    return { name, status, incarnation, by: status === "suspect" ? accusers.at(-1)! : "" };
  }
}
