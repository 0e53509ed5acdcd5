/**
 * Compiles one state after the other, each from the one before it where that is less work. What
 * comes out is always what `compile` says of the state. Run by the control thread.
 */
import type { State } from "@rhone/state/state";
import { Datapaths } from "@rhone/tables/datapaths";
import type { Generation } from "@rhone/tables/generation";
import type { Zone } from "@rhone/tables/moved-connections";
import { PortAppenders } from "@rhone/tables/ports";
import { type Compilation, compileAll, type Self } from "./compile.ts";
import { compileStep, FULL_REASONS, type FullReason } from "./compile-step.ts";
import type { Last } from "./port-edits.ts";

/** How often a state was compiled, and how. */
export interface CompileCounts {
  readonly steps: number;
  /** Full ones, by reason. */
  readonly full: Readonly<Record<FullReason, number>>;
}

export class Compiler {
  readonly #appenders = new PortAppenders();
  readonly #onFailedStep: (error: Error) => void;
  readonly #full = Object.fromEntries(
    Object.keys(FULL_REASONS).map((reason) => [reason, 0]),
  ) as Record<FullReason, number>;
  #steps = 0;
  #last: Last | null = null;

  /** `onFailedStep` hears of mistakes here: a step that threw, in whose place all was compiled. */
  constructor(onFailedStep: (error: Error) => void) {
    this.#onFailedStep = onFailedStep;
  }

  get counts(): CompileCounts {
    return { steps: this.#steps, full: { ...this.#full } };
  }

  /**
   * The generation of the state. Throws when it cannot be compiled, and names the object.
   * `self.ruleCounters` and `self.devices` stay as they are from then on.
   */
  compile(state: State, self: Self): Generation {
    const compilation = this.#next(state, self);
    this.#last = { state, self, compilation };
    return compilation.generation;
  }

  /** The zone of a port's connections in the tables that were compiled last; null of none. */
  zoneOf(port: string): Zone | null {
    if (this.#last === null) return null;
    const { ports, generation } = this.#last.compilation;
    const row = ports.rows[ports.vifRows.get(port) ?? -1];
    if (row === undefined) return null;
    const datapaths = new Datapaths(generation.sections.datapaths);
    return { vni: datapaths.key(row.datapath), port: row.key };
  }

  #next(state: State, self: Self): Compilation {
    const last = this.#last;
    this.#last = null; // Whatever happens, it is of no use afterwards.
    const step = last === null ? "first" : this.#step(last, state, self);
    if (!(step instanceof Error) && typeof step !== "string") {
      this.#steps++;
      return step;
    }
    const compilation = compileAll(state, self);
    this.#full[step instanceof Error ? "failed" : step]++;
    // What cannot be compiled at all is no mistake of the step.
    if (step instanceof Error) this.#onFailedStep(step);
    return compilation;
  }

  #step(last: Last, state: State, self: Self): Compilation | FullReason | Error {
    try {
      return compileStep(last, state, self, this.#appenders);
    } catch (error) {
      return error as Error;
    }
  }
}
