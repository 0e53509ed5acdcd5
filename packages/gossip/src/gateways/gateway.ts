/**
 * One gateway as one chassis of its group sees it: whether this chassis forwards for it, and whom
 * it lets forward. Without clock, network or chance: the caller says what time it is.
 *
 * A member forwards under a lease that it has from a majority of the group (members and witnesses)
 * and renews with each heartbeat. What keeps two from forwarding at the same time:
 *
 *   member                                      every other voter
 *   asks in heartbeat n, sent at s ───────────▶ grants it, at r > s; promises to grant nobody
 *                                               else until r + PROMISE_MS on its own clock
 *     ◀────────────────────────────────────────  says in its next heartbeat: granted, as of n
 *   forwards until s + LEASE_MS on its own clock
 *
 * Two majorities have a voter in common, and that one grants to one member at a time. No clocks are
 * compared; only their rates have to agree, to a tenth. To be heard is not enough: where two
 * members do not hear each other and a witness hears both, both would hear a majority.
 *
 * A voter that starts knows nothing of what it has promised before: it waits PROMISE_MS. A member
 * that stops by itself says so, and its grants are free at once. Each time that somebody else
 * begins, the epoch grows.
 */
import { type Candidate, compareCandidates, type Group, quorumOf, votersOf } from "./group.ts";
import type { Entry, Grant, Stance } from "./messages.ts";
import { PROMISE_MS, type Voice, Voices } from "./voices.ts";

export const HEARTBEAT_MS = 200;
export const LEASE_MS = 800;
/**
 * Workers look at the lease before each batch: after so long, nothing that they had begun is on its
 * way any more.
 */
export const STOPPING_MS = 10;
/** So long a member must have been able to forward without a break before it takes back. */
export const PRIORITY_WAIT_MS = 10_000;
export const EQUAL_WAIT_MS = 300_000;
/** Who asks so long in vain lets others try, */
const ASKING_MAX_MS = 3000;
/** for so long. */
const REST_MS = 3000;
/**
 * So long after a group has changed, a majority of what it was before is needed as well: until all
 * know of the change.
 */
export const JOINT_MS = 10_000;

/** A grant of ours, and when it was made or last renewed. */
type OwnGrant = Grant & { readonly atMs: number };

/** Where a message came from, and by which clock of ours the one that it answers was sent. */
export interface Letter {
  readonly from: string;
  readonly incarnation: number;
  readonly seq: number;
  /** When we sent the message of that number; undefined: never, or too long ago. */
  readonly sentMs: (seq: number) => number | undefined;
}

/** Why a member does not forward. */
export type Reason = "active" | "drained" | "device" | "alone" | "refused" | "waits" | "witness";

export class Gateway {
  readonly name: string;
  readonly #self: string;
  readonly #incarnation: number;
  readonly #grantsFromMs: number;
  #group: Group;
  /** What the group was before, each until its time. */
  #before: readonly { readonly group: Group; readonly untilMs: number }[] = [];
  readonly #voices = new Voices();
  /** Until when each other voter has promised to grant nobody else. */
  readonly #leases = new Map<string, number>();
  /** To whom we have granted, ourselves included; null: to nobody. */
  #grant: OwnGrant | null = null;
  #granted = { to: "", epoch: 0 };
  #epochMax = 0;
  /** The highest that this chassis has asked for: none is asked for twice. */
  #askedMax = 0;
  #epoch = 0;
  /** "stopping" is told to others as "active". */
  #stance: Exclude<Stance, "able"> | "stopping" = "idle";
  #sinceMs = 0;
  #untilMs = Number.NEGATIVE_INFINITY;
  #restsUntilMs = Number.NEGATIVE_INFINITY;
  #hasDevice = false;
  #isNews = false;

  constructor(name: string, self: string, incarnation: number, group: Group, nowMs: number) {
    this.name = name;
    this.#self = self;
    this.#incarnation = incarnation;
    this.#group = group;
    this.#grantsFromMs = nowMs + PROMISE_MS;
  }

  /** Everybody with whom heartbeats are exchanged. */
  get voters(): ReadonlySet<string> {
    return new Set(this.#groups.flatMap(votersOf));
  }

  /** Until when this chassis may forward, by its own clock; in the past when it may not. */
  get untilMs(): number {
    return this.#untilMs;
  }

  /** Of its lease, 0 when it has none. */
  get epoch(): number {
    return this.isActive ? this.#epoch : 0;
  }

  get isActive(): boolean {
    return this.#stance === "active";
  }

  /** Who forwards, as far as is known here; undefined: nobody does. */
  activeAt(nowMs: number): string | undefined {
    return this.isActive ? this.#self : this.#voices.active(nowMs)?.[0];
  }

  /** Why this chassis does not forward. */
  reasonAt(nowMs: number): Reason {
    const own = this.#own;
    if (this.isActive) return "active";
    if (own === undefined) return "witness";
    if (own.isDrained) return "drained";
    if (!this.#hasDevice) return "device";
    if (nowMs < this.#restsUntilMs) return "refused";
    return this.#hearsMajority(nowMs) ? "waits" : "alone";
  }

  setGroup(group: Group, nowMs: number): void {
    const isSame = votersOf(group).toSorted().join() === votersOf(this.#group).toSorted().join();
    const before = { group: this.#group, untilMs: nowMs + JOINT_MS };
    if (!isSame) this.#before = [...this.#before, before];
    this.#group = group;
    this.step(nowMs);
  }

  /** Whether the devices of its ports are up here. */
  setDevice(isUp: boolean, nowMs: number): void {
    if (isUp === this.#hasDevice) return;
    this.#hasDevice = isUp;
    this.step(nowMs);
  }

  /** Another chassis claims that epoch, or did once: whoever forwards has a higher one. */
  claimed(epoch: number): void {
    const isTaken = this.isActive && epoch >= this.#epoch;
    this.#raise(isTaken ? epoch + 1 : epoch);
  }

  /** What this chassis says of the gateway. */
  entryAt(nowMs: number): Entry {
    return {
      gateway: this.name,
      stance: this.#told(nowMs),
      epoch: this.#stance === "idle" ? 0 : this.#epoch,
      epochMax: this.#epochMax,
      grant: this.#grant,
    };
  }

  /** Whether others should hear at once what is said here; asking forgets it. */
  takeNews(): boolean {
    const isNews = this.#isNews;
    this.#isNews = false;
    return isNews;
  }

  /** When to look again, if nothing comes before: at the end of what lasts. */
  dueMs(nowMs: number): number {
    const ends = [
      this.#grantsFromMs,
      this.#restsUntilMs,
      this.#untilMs,
      this.#stance === "stopping" ? this.#sinceMs + STOPPING_MS : nowMs,
      this.#stance === "asks" ? this.#sinceMs + ASKING_MAX_MS : nowMs,
      this.#grant === null ? nowMs : this.#grant.atMs + PROMISE_MS,
      ...this.#voices.endsMs(),
    ];
    return Math.min(...ends.filter((endMs) => endMs > nowMs));
  }

  /** Takes in what another chassis of the group says. */
  hear({ from, incarnation, seq, sentMs }: Letter, entry: Entry, nowMs: number): void {
    if (from === this.#self || !this.voters.has(from)) return;
    this.#voices.hear(from, { incarnation, seq, entry }, nowMs);
    this.#raise(entry.epochMax);
    if (entry.stance === "active") this.#raise(entry.epoch);
    this.#takeGrant(from, entry.grant, sentMs);
    const own = this.#grant;
    const isTheirs = own?.to === from && own.incarnation === incarnation;
    // It says itself that it does not forward any more.
    const hasLetGo = entry.stance === "idle" || entry.stance === "able";
    if (isTheirs && hasLetGo) this.#setGrant(null);
    else if (isTheirs && this.#mayRenew(from, entry, nowMs)) {
      this.#grant = { ...own, seq, epoch: entry.epoch, atMs: nowMs };
      this.#granted = { to: from, epoch: entry.epoch };
    }
    this.step(nowMs);
  }

  /** Does what the time has come for. */
  step(nowMs: number): void {
    this.#before = this.#before.filter(({ untilMs }) => nowMs < untilMs);
    if (this.#grant !== null && nowMs >= this.#grant.atMs + PROMISE_MS) this.#setGrant(null);
    switch (this.#stance) {
      case "active":
        if (nowMs >= this.#untilMs || this.#mustStop(nowMs)) this.#stop(nowMs);
        break;
      case "stopping":
        if (nowMs >= this.#sinceMs + STOPPING_MS) this.#beIdle();
        break;
      case "asks":
        if (!this.#mayAsk(nowMs)) this.#beIdle();
        else if (nowMs >= this.#sinceMs + ASKING_MAX_MS) {
          this.#restsUntilMs = nowMs + REST_MS;
          this.#beIdle();
        }
        break;
      case "idle":
        break;
    }
    if (this.#stance === "idle" && this.#grant === null && this.#mayAsk(nowMs)) this.#ask(nowMs);
    this.#renewOwn(nowMs);
    if (this.#grant === null) this.#grantSomebody(nowMs);
    this.#lease(nowMs);
  }

  #raise(epoch: number): void {
    this.#epochMax = Math.max(this.#epochMax, epoch);
  }

  get #own(): Candidate | undefined {
    return this.#candidate(this.#self);
  }

  #candidate(chassis: string): Candidate | undefined {
    return this.#group.members.find((member) => member.chassis === chassis);
  }

  #told(nowMs: number): Stance {
    if (this.#stance === "stopping") return "active";
    if (this.#stance !== "idle") return this.#stance;
    return this.#isAble(nowMs) ? "able" : "idle";
  }

  #isAble(nowMs: number): boolean {
    if (this.#own === undefined || !this.#hasDevice) return false;
    return nowMs >= this.#restsUntilMs && this.#hearsMajority(nowMs);
  }

  #hearsMajority(nowMs: number): boolean {
    const heard = (voter: string): boolean => {
      return voter === this.#self || this.#voices.fresh(voter, nowMs) !== undefined;
    };
    return this.#groups.every((group) => {
      const voters = votersOf(group);
      return voters.filter(heard).length >= quorumOf(voters.length);
    });
  }

  get #groups(): readonly Group[] {
    return [this.#group, ...this.#before.map(({ group }) => group)];
  }

  /** Members that are preferred to `candidate`, and could forward. */
  #better(candidate: Candidate, nowMs: number): readonly (readonly [Candidate, Voice])[] {
    return this.#group.members.flatMap((member) => {
      const voice = this.#voices.fresh(member.chassis, nowMs);
      if (voice === undefined || voice.ableSinceMs === null) return [];
      return compareCandidates(this.name, member, candidate) < 0 ? [[member, voice] as const] : [];
    });
  }

  #mayAsk(nowMs: number): boolean {
    const own = this.#own;
    if (own === undefined || nowMs < this.#grantsFromMs || !this.#isAble(nowMs)) return false;
    return this.#voices.active(nowMs) === undefined && this.#better(own, nowMs).length === 0;
  }

  #mustStop(nowMs: number): boolean {
    const own = this.#own;
    if (own === undefined || !this.#hasDevice) return true;
    if (this.#isOutdone(own, nowMs)) return true;
    return this.#better(own, nowMs).some(([other, { ableSinceMs }]) => {
      return nowMs - ableSinceMs! >= waitMs(own, other);
    });
  }

  /** Of two voters both may forward; when they hear each other again, one of them stops. */
  #isOutdone(own: Candidate, nowMs: number): boolean {
    const [name, voice] = this.#voices.active(nowMs) ?? [];
    if (name === undefined || voice === undefined) return false;
    if (voice.entry.epoch !== this.#epoch) return voice.entry.epoch > this.#epoch;
    const rival = this.#candidate(name);
    return rival !== undefined && compareCandidates(this.name, rival, own) < 0;
  }

  #ask(nowMs: number): void {
    this.#stance = "asks";
    this.#sinceMs = nowMs;
    this.#takeNextEpoch();
    this.#leases.clear();
  }

  #takeNextEpoch(): void {
    this.#epoch = Math.max(this.#epochMax, this.#askedMax) + 1;
    this.#askedMax = this.#epoch;
    this.#isNews = true;
  }

  #stop(nowMs: number): void {
    this.#stance = "stopping";
    this.#sinceMs = nowMs;
    this.#untilMs = Number.NEGATIVE_INFINITY;
    this.#leases.clear();
  }

  #beIdle(): void {
    this.#stance = "idle";
    this.#untilMs = Number.NEGATIVE_INFINITY;
    this.#leases.clear();
    if (this.#grant?.to === this.#self) this.#grant = null;
    this.#isNews = true;
  }

  #setGrant(grant: OwnGrant | null): void {
    this.#grant = grant;
    if (grant === null) return;
    this.#granted = { to: grant.to, epoch: grant.epoch };
    this.#raise(grant.epoch);
    this.#isNews = true;
  }

  /** Grants itself what it asks for, unless somebody else has its word. */
  #renewOwn(nowMs: number): void {
    const isAsking = this.#stance === "asks" || this.#stance === "active";
    if (!isAsking || nowMs < this.#grantsFromMs) return;
    if (this.#grant !== null && this.#grant.to !== this.#self) return;
    // Others have been granted that epoch, or claim it.
    if (this.#epochMax > this.#epoch) this.#takeNextEpoch();
    const message = { incarnation: this.#incarnation, seq: 0 };
    this.#grant = { to: this.#self, ...message, epoch: this.#epoch, atMs: nowMs };
    if (this.isActive) this.#haveEpoch();
  }

  /** Only what has led to a lease counts: what was asked for in vain is nobody's. */
  #haveEpoch(): void {
    this.#granted = { to: this.#self, epoch: this.#epoch };
    this.#raise(this.#epoch);
  }

  /** Whoever forwards keeps the grant; who only asks gives way to a better one that asks, too. */
  #mayRenew(from: string, { stance, epoch }: Entry, nowMs: number): boolean {
    if (epoch < this.#granted.epoch) return false;
    return stance === "active" || this.#bestAsker(nowMs) === from;
  }

  #bestAsker(nowMs: number): string | undefined {
    const asking = this.#group.members.filter(({ chassis }) => {
      const entry = this.#voices.fresh(chassis, nowMs)?.entry;
      if (entry?.stance !== "asks" && entry?.stance !== "active") return false;
      const isTheirs = this.#granted.to === chassis;
      return isTheirs ? entry.epoch >= this.#granted.epoch : entry.epoch > this.#granted.epoch;
    });
    const isActive = ({ chassis }: Candidate): number => {
      return this.#voices.fresh(chassis, nowMs)!.entry.stance === "active" ? 1 : 0;
    };
    return asking.sort((a, b) => {
      return isActive(b) - isActive(a) || compareCandidates(this.name, a, b);
    })[0]?.chassis;
  }

  #grantSomebody(nowMs: number): void {
    if (nowMs < this.#grantsFromMs || !this.voters.has(this.#self)) return;
    const to = this.#bestAsker(nowMs);
    if (to === undefined) return;
    const { incarnation, seq, entry } = this.#voices.fresh(to, nowMs)!;
    this.#setGrant({ to, incarnation, seq, epoch: entry.epoch, atMs: nowMs });
  }

  #takeGrant(from: string, grant: Grant | null, sentMs: Letter["sentMs"]): void {
    if (grant === null || this.#stance === "idle" || this.#stance === "stopping") return;
    const isOurs = grant.to === this.#self && grant.incarnation === this.#incarnation;
    if (!isOurs || grant.epoch !== this.#epoch) return;
    const atMs = sentMs(grant.seq);
    if (atMs === undefined) return;
    const known = this.#leases.get(from) ?? Number.NEGATIVE_INFINITY;
    this.#leases.set(from, Math.max(known, atMs + LEASE_MS));
  }

  /** Works out how long the lease lasts, and begins to forward when there is one. */
  #lease(nowMs: number): void {
    if (this.#stance !== "asks" && this.#stance !== "active") return;
    const own = this.#grant?.to === this.#self ? nowMs + LEASE_MS : Number.NEGATIVE_INFINITY;
    const untilMs = Math.min(...this.#groups.map((group) => this.#leaseIn(group, own)));
    if (untilMs > nowMs) this.#untilMs = Math.max(this.#untilMs, untilMs);
    if (this.#stance === "active" || untilMs <= nowMs) return;
    this.#stance = "active";
    this.#sinceMs = nowMs;
    this.#haveEpoch();
    this.#isNews = true;
  }

  /** Until when a majority of that group has promised. */
  #leaseIn(group: Group, own: number): number {
    const voters = votersOf(group);
    const ends = voters.map((voter) => {
      return voter === this.#self ? own : (this.#leases.get(voter) ?? Number.NEGATIVE_INFINITY);
    });
    ends.sort((a, b) => b - a);
    return ends[quorumOf(voters.length) - 1] ?? Number.NEGATIVE_INFINITY;
  }
}

/** How long `other` must have been able to forward until `own`, which does, hands over to it. */
function waitMs(own: Candidate, other: Candidate): number {
  if (own.isDrained) return 0;
  return other.priority > own.priority ? PRIORITY_WAIT_MS : EQUAL_WAIT_MS;
}
