/**
 * Holds new tables back until every chassis has them, so that no packet meets old ones on the
 * other half of its way. Runs on the control thread.
 *
 * Whoever writes looks after its own writes; nobody coordinates for others. The steps of one:
 *
 *   origin                                  others
 *   compiles, asks all ───────────────────▶ compile the same state
 *   its workers hold the tables             their workers hold the tables
 *     ◀──────────────────────────────────── say that they hold them
 *   when all that live have said so:
 *   begins, and tells all to begin ───────▶ begin
 *
 * What is asked is whether a packet of that generation meets the very same state everywhere. Where
 * all say yes, that state may begin, whoever wrote what is in it. Two chassis that write at the
 * same time may have states that differ under one number, or numbers that lie between each other's,
 * until both know of both writes, some milliseconds later. Where writes never pause that may never
 * be so: after a little while it is enough for an origin that its own write is held everywhere. It
 * releases that alone, and tables begin when each write in them has been released by its origin.
 *
 * Everything here has a limit, since forwarding must not depend on it: an origin waits for answers
 * so long, a chassis so long for the word to begin. Who lets such a limit pass is not waited for
 * until it speaks again. So one that hangs costs a single wait, and one of a version that does not
 * know of all this costs nothing.
 */
import type { Status } from "../membership/claim.ts";
import * as subjects from "../subjects.ts";
import { type Asked, AskPace } from "./ask-pace.ts";
import type { BarrierOptions, Company } from "./barrier-options.ts";
import { type Content, type Edition, EditionLog, raise } from "./edition-log.ts";
import { type Ask, type BarrierMessage, decode, encode } from "./messages.ts";
import { OpenQuestions } from "./open-questions.ts";

/** How long all wait for all to hold the very same; and an origin, for all to hold its write. */
export const EXACT_WAIT_MS = 250;
/** From then on what waits to begin should not be joined by more. */
const CROWDED_MS = 100;
export const ANSWER_WAIT_MS = 500;
/** How long others wait for its word to begin: it may have waited for somebody else. */
export const RELEASE_WAIT_MS = 1000;
/** The word to begin may be lost: after this they ask for it. */
const REMIND_MS = 60;
/** A worker that hangs does not hold up the others for longer. */
export const HOLD_WAIT_MS = 250;
/** Who is asked about a write that it lacks fetches it after this: the message was lost. */
const PATIENCE_MS = 25;
/** States that may begin, remembered: as many as can be on their way. */
const ROOTS_MAX = 64;

/** How editions came to begin here, since the start. */
export interface BeginCounts {
  /** All held the very same, or nobody else was concerned. */
  readonly agreed: number;
  /** Each write in it was held by all, but not all had the same beside it. */
  readonly apart: number;
  /** Somebody was waited for in vain. */
  readonly overdue: number;
}

export class Barrier {
  readonly #options: BarrierOptions;
  readonly #log: EditionLog;
  /** Up to which write of each chassis all may begin. */
  readonly #released = new Map<string, number>();
  /** States that all hold, and may begin. */
  readonly #common = new Set<string>();
  /** The others, without those that are dead. */
  readonly #living = new Set<string>();
  /** How many of them come before this chassis. */
  #rank = 0;
  /** Of these, who takes part: has spoken, and has let no limit pass since. */
  readonly #partners = new Set<string>();
  /** Up to which of our writes each of them holds tables. */
  readonly #heldBy = new Map<string, number>();
  readonly #questions: OpenQuestions;
  readonly #pace = new AskPace();
  /** The newest edition that we have asked about, and whether somebody had more than was in it. */
  #asked = 0;
  #isOutrun = false;
  readonly #counts = { agreed: 0, apart: 0, overdue: 0 };
  #company: Company | null = null;
  #undo: (() => void)[] = [];
  #cancelTimer: () => void = () => {};
  #isStopped = false;

  constructor(options: BarrierOptions) {
    this.#options = options;
    this.#log = new EditionLog(options.editionsMax);
    this.#questions = new OpenQuestions(this.#log, options.vector);
  }

  /** Editions that were published and have not begun. */
  get waitingCount(): number {
    return this.#log.waiting.length;
  }

  /** Whether something has waited for long to begin: with every write there is more to agree on. */
  get isCrowded(): boolean {
    const oldest = this.#log.waiting.at(-1);
    return oldest !== undefined && this.#options.now() - oldest.publishedMs >= CROWDED_MS;
  }

  /** Whether a write would better come a moment later, since all are about to agree on what is. */
  get isBusy(): boolean {
    return this.isCrowded || this.#pace.isOpen(this.#options.now());
  }

  /** Whether something that we have written has not been released. */
  get hasOpenWrite(): boolean {
    const { self, vector } = this.#options;
    return (vector()[self] ?? 0) > this.#knownOf(self);
  }

  /** When our next writes may be asked about, in milliseconds of the clock. */
  get askDueMs(): number {
    return this.#pace.dueMs;
  }

  get counts(): BeginCounts {
    return { ...this.#counts };
  }

  /** Until this is called the chassis is alone: it waits for its own workers only. */
  connect(company: Company): void {
    const { self } = this.#options;
    const { transport } = company;
    const hear = (data: Uint8Array, _respond: unknown, subject: string): void => {
      const message = decode(data);
      const from = subjects.originOf(subject) ?? "";
      if (message !== null && from !== self) this.#receive(from, message);
    };
    const askAll = (): void => {
      for (const name of this.#living) this.#askHowFar(name);
    };
    this.#company = company;
    this.#undo = [
      transport.onReconnect(askAll), // What was said before got nowhere.
      transport.subscribe(subjects.barrierNews("*"), hear),
      transport.subscribe(subjects.barrierAnswers("*", self), hear),
    ];
    askAll();
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelTimer();
    for (const undo of this.#undo.splice(0)) undo();
  }

  /**
   * The workers have been given tables with all of `content`. `edition` grows with each, from 1.
   * One that `isUrgent` begins when they hold it.
   */
  publish(edition: number, content: Content, isUrgent = false): void {
    this.#log.add({ edition, ...content, isUrgent, publishedMs: this.#options.now() });
    this.#advance();
  }

  /** Every worker holds all editions up to this one. */
  hold(edition: number): void {
    if (!this.#log.hold(edition, this.#options.now())) return;
    for (const origin of this.#questions.origins) this.#answer(origin);
    this.#advance();
  }

  /** Whether a chassis asks about what it writes, when it has compiled it. */
  asks(origin: string): boolean {
    return this.#partners.has(origin);
  }

  /** The store has changed. */
  onChange(): void {
    if (this.#questions.needCompiling || this.#isOutrun) this.#options.hurry();
  }

  /** Hears of each change of another chassis' status. */
  onMember(name: string, status: Status): void {
    const comesBefore = name < this.#options.self ? 1 : 0;
    if (status === "dead") {
      if (this.#living.delete(name)) this.#rank -= comesBefore;
      this.#partners.delete(name);
      this.#heldBy.delete(name);
      this.#questions.drop(name);
    } else if (!this.#living.has(name)) {
      this.#living.add(name);
      this.#rank += comesBefore;
    }
    if (status === "alive") this.#askHowFar(name);
    this.#advance();
  }

  #receive(from: string, message: BarrierMessage): void {
    if (!this.#living.has(from)) return; // When it is found to live, we say so.
    this.#partners.add(from);
    switch (message.type) {
      case "ask":
        this.#onAsk(from, message);
        return;
      case "held":
        this.#onHeld(from, message.clock, message.root);
        return;
      case "wait":
        this.#onHeld(from, message.clock, "");
        this.#tellHowFar(from);
        return;
      case "begin":
        raise(this.#released, { [from]: message.clock });
        if (message.root !== "") this.#addCommon(message.root);
        this.#advance();
        return;
    }
  }

  #onAsk(from: string, ask: Ask): void {
    this.#pace.note({ origin: from, ...ask }, this.#options.now());
    this.#questions.add(from, ask);
    this.#answer(from);
    if (this.#questions.needsCompiling(from, ask)) this.#options.hurry();
    if (this.#questions.isKnown(from, ask)) return;
    this.#options.setTimer(() => {
      if (!this.#isStopped && !this.#questions.isKnown(from, ask)) this.#company?.want(from);
    }, PATIENCE_MS);
  }

  #onHeld(from: string, clock: number, root: string): void {
    this.#heldBy.set(from, Math.max(clock, this.#heldOf(from)));
    for (const edition of this.#log.waiting) {
      if (edition.root === root) edition.exact.add(from);
    }
    // Who holds that write with something else beside it will not hold what we asked about.
    const { open } = this.#pace;
    if (open?.origin === this.#options.self && root === "" && clock >= open.clock) {
      this.#pace.settle();
      this.#isOutrun = true;
      if (!this.#hasCompiledAll) this.#options.hurry();
    }
    this.#advance();
  }

  /** Answers the newest question of `origin` that can be answered. */
  #answer(origin: string): void {
    const held = this.#questions.answer(origin);
    if (held === null) return;
    this.#send(held, origin);
    // What was asked about will not be the same everywhere. Of two that ask, one asks again.
    const { open } = this.#pace;
    if (held.root !== "" || open?.origin !== origin || held.clock < open.clock) return;
    if (this.#options.self < origin) this.#pace.settle();
  }

  /** Says that we hold somebody's writes, and asks how far we may begin. */
  #askHowFar(name: string): void {
    const clock = this.#log.newestHeld?.vector[name] ?? 0;
    this.#send({ type: "wait", clock }, name);
  }

  #tellHowFar(to: string): void {
    const { self } = this.#options;
    // Others may hold something else where it did not begin as agreed.
    const root = this.#common.has(this.#log.rootInForce) ? this.#log.rootInForce : "";
    this.#send({ type: "begin", clock: this.#knownOf(self), root }, to);
  }

  /** Does what has become possible, and looks again when something else will have. */
  #advance(): void {
    if (this.#isStopped) return;
    const nowMs = this.#options.now();
    this.#releaseOwn(nowMs);
    const next = this.#log.waiting.find((edition) => this.#mayBegin(edition, nowMs));
    if (next !== undefined) this.#begin(next);
    this.#ask(nowMs);
    for (const edition of this.#log.waiting) this.#remind(edition, nowMs);
    this.#schedule(nowMs);
  }

  /** Asks about the newest edition, if it has writes of ours that nobody has settled. */
  #ask(nowMs: number): void {
    const { self } = this.#options;
    const { open } = this.#pace;
    if (open !== null && this.#isSettled(open)) this.#pace.settle();
    if (!this.#hasQuestion || nowMs < this.#pace.dueMs) return;
    const { edition, vector, revision, root } = this.#log.newest!;
    const clock = vector[self]!;
    this.#asked = edition;
    this.#isOutrun = false;
    this.#pace.note({ origin: self, clock, root }, nowMs);
    this.#send({ type: "ask", clock, revision, root });
  }

  get #hasCompiledAll(): boolean {
    const compiled = this.#log.newest?.vector ?? {};
    const isIn = ([name, clock]: [string, number]): boolean => (compiled[name] ?? 0) >= clock;
    return Object.entries(this.#options.vector()).every(isIn);
  }

  get #hasQuestion(): boolean {
    const { self } = this.#options;
    const newest = this.#log.newest;
    if (newest === undefined || newest.edition <= this.#asked) return false;
    return this.#living.size > 0 && (newest.vector[self] ?? 0) > this.#knownOf(self);
  }

  #isSettled({ origin, clock, root }: Asked): boolean {
    return (
      clock <= this.#knownOf(origin) || this.#common.has(root) || root === this.#log.rootInForce
    );
  }

  /** Releases our own writes in the newest edition that all hold who are waited for. */
  #releaseOwn(nowMs: number): void {
    const { self } = this.#options;
    for (const edition of this.#log.waiting) {
      const clock = edition.vector[self] ?? 0;
      if (clock <= this.#knownOf(self)) return;
      const ageMs = nowMs - this.#heldSince(edition);
      if (ageMs < 0) continue;
      const isExact = this.#isExact(edition);
      const isOver = ageMs >= ANSWER_WAIT_MS;
      const isHeld = (isExact || ageMs >= EXACT_WAIT_MS) && this.#isHeldByAll(clock);
      if (!isHeld && !isOver) continue;
      const lacking = [...this.#partners].filter((name) => this.#heldOf(name) < clock);
      this.#giveUp(lacking, edition);
      this.#tellBegin(clock, isExact ? edition.root : "");
      return;
    }
  }

  /** Asked with each answer, so it costs little while many of a thousand are missing. */
  #isExact({ exact }: Edition): boolean {
    const count = this.#partners.size;
    return count > 0 && exact.size >= count && this.#partners.isSubsetOf(exact);
  }

  #isHeldByAll(clock: number): boolean {
    for (const name of this.#partners) if (this.#heldOf(name) < clock) return false;
    return true;
  }

  #heldOf(name: string): number {
    return this.#heldBy.get(name) ?? 0;
  }

  #giveUp(names: readonly string[], { edition }: Edition): void {
    if (names.length === 0) return;
    this.#counts.overdue++;
    for (const name of names) this.#partners.delete(name);
    this.#options.onOverdue?.(names, edition);
  }

  /** "" for `root`: the state is not the same everywhere. */
  #tellBegin(clock: number, root: string): void {
    raise(this.#released, { [this.#options.self]: clock });
    if (root !== "") this.#addCommon(root);
    if (this.#living.size > 0) this.#send({ type: "begin", clock, root });
  }

  #addCommon(root: string): void {
    this.#common.add(root);
    const [first] = this.#common;
    if (this.#common.size > ROOTS_MAX) this.#common.delete(first!);
  }

  #mayBegin(edition: Edition, nowMs: number): boolean {
    const ageMs = nowMs - this.#heldSince(edition);
    if (ageMs < 0) return false;
    if (edition.isUrgent || ageMs >= RELEASE_WAIT_MS) return true;
    if (this.#isAgreed(edition)) return true;
    const isOver = ageMs >= EXACT_WAIT_MS && edition.hasGap !== true;
    return isOver && this.#blockers(edition).length === 0;
  }

  /** Whether all hold this very state, or nobody is concerned who takes part. */
  #isAgreed({ root, news, hasGap }: Edition): boolean {
    if (this.#common.has(root) || root === this.#log.rootInForce) return true;
    if (this.#partners.size === 0) return true;
    // What came before something that is still missing does not show in the vector.
    const isTold = news.length > 0 && hasGap !== true;
    return isTold && !news.some((name) => this.#isAwaited(name));
  }

  /** Whether it says when its writes may begin. */
  #isAwaited(name: string): boolean {
    // Where nobody takes part, our own are nobody's concern.
    return name === this.#options.self ? this.#partners.size > 0 : this.#partners.has(name);
  }

  /** Whose writes in the edition are not released. */
  #blockers({ vector, news }: Edition): readonly string[] {
    return news.filter((name) => this.#isAwaited(name) && vector[name]! > this.#knownOf(name));
  }

  #begin(edition: Edition): void {
    const { self, begin } = this.#options;
    const blockers = this.#blockers(edition);
    if (edition.isUrgent || this.#isAgreed(edition)) this.#counts.agreed++;
    else if (blockers.length === 0) this.#counts.apart++;
    else this.#giveUp(blockers, edition); // Whoever had to say so and did not.
    const clock = edition.vector[self] ?? 0;
    // What is urgent here the others begin as soon as they hold it.
    const isTold = this.#common.has(edition.root) || clock <= this.#knownOf(self);
    if (!isTold) this.#tellBegin(clock, edition.isUrgent ? edition.root : "");
    this.#isOutrun = false;
    this.#log.begin(edition);
    begin(edition.edition);
  }

  #remind(edition: Edition, nowMs: number): void {
    if (edition.hasReminded || nowMs - this.#heldSince(edition) < REMIND_MS) return;
    edition.hasReminded = true;
    for (const name of this.#blockers(edition)) {
      if (name !== this.#options.self) this.#askHowFar(name);
    }
  }

  #schedule(nowMs: number): void {
    this.#cancelTimer();
    let dueMs = Number.POSITIVE_INFINITY;
    for (const edition of this.#log.waiting) {
      const sinceMs = this.#heldSince(edition);
      for (const waitMs of [0, EXACT_WAIT_MS, REMIND_MS, ANSWER_WAIT_MS, RELEASE_WAIT_MS]) {
        if (sinceMs + waitMs > nowMs) dueMs = Math.min(dueMs, sinceMs + waitMs);
      }
    }
    if (this.#hasQuestion) {
      dueMs = Math.min(dueMs, Math.max(nowMs + 1, this.#pace.turnMs(this.#rank)));
    }
    if (dueMs === Number.POSITIVE_INFINITY) return;
    this.#cancelTimer = this.#options.setTimer(() => this.#advance(), Math.ceil(dueMs - nowMs));
  }

  /** When all workers held it; where some do not, when they are waited for no longer. */
  #heldSince({ heldMs, publishedMs }: Edition): number {
    return heldMs ?? publishedMs + HOLD_WAIT_MS;
  }

  /** Up to which write of a chassis nobody need be waited for. */
  #knownOf(name: string): number {
    return Math.max(this.#released.get(name) ?? 0, this.#log.inForceOf(name));
  }

  #send(message: BarrierMessage, to?: string): void {
    const { self } = this.#options;
    const subject =
      to === undefined ? subjects.barrierNews(self) : subjects.barrierAnswers(self, to);
    this.#company?.transport.publish(subject, encode(message));
  }
}
