/** One thing that is measured, with what it is compared with, both in the same run. */
import type { Runtime } from "@rhone/cli/runtime";

export interface Options {
  /** How often each side is measured; the sides take turns. */
  readonly rounds: number;
  /** Seconds of one measurement under load. */
  readonly seconds: number;
  readonly runtime: Runtime;
  /** Whether only the subject is wanted, without what it is compared with. */
  readonly isAlone?: boolean;
}

/** A side of a comparison: its name, and one measurement, or what makes it impossible here. */
export interface Side {
  readonly name: string;
  measure(): Promise<number>;
}

export interface Case {
  readonly name: string;
  /** Which goals of docs/performance.md it is for. */
  readonly goals: string;
  readonly unit: string;
  /** Whether it takes minutes; then it is left out of a quick run. */
  readonly isLong?: true;
  /** Makes what the measurements need. */
  prepare(options: Options): Promise<Prepared>;
}

export interface Prepared {
  readonly subject: Side;
  /** What the subject is divided by; none: the figure stands for itself. */
  readonly baselines: readonly Side[];
  /** More about the conditions: processors, mode, loss. */
  readonly remarks?: () => readonly string[];
  readonly end: () => Promise<void>;
}
