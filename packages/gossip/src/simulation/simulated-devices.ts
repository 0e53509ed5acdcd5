/**
 * Devices of ports at a simulated chassis: which it opens, and what comes of that, some
 * milliseconds later. As devices.ts of the chassis package has it, without drivers and queues.
 */
import type { Port } from "@rhone/state/schema";
import { get, type State } from "@rhone/state/state";
import type { ClaimedDevice } from "../ports/claim-changes.ts";
import type { Process } from "./machine.ts";

const OPEN_MIN_MS = 1;
const OPEN_MAX_MS = 10;
/** Until a chassis notices that a device has gone. */
const NOTICE_MAX_MS = 5;

type Phase = "opening" | "up" | "refused";

export interface SimulatedDevicesOptions {
  readonly process: Process;
  /** Something has changed that claims and tables are about. */
  readonly onChange: () => void;
}

export class SimulatedDevices {
  readonly #options: SimulatedDevicesOptions;
  /** Of the devices that it wants, by port. */
  readonly #phases = new Map<string, Phase>();
  /** Ports that may be anywhere, and whether their devices were here at the last look. */
  #floating = new Map<string, boolean>();

  constructor(options: SimulatedDevicesOptions) {
    this.#options = options;
  }

  /** Opens what the state wants here, and closes what it does not. */
  follow(state: State): void {
    const { machine } = this.#options.process;
    this.#floating = new Map();
    const wanted = new Set<string>();
    for (const { name, value } of state.ports) {
      if (value.device === undefined) continue;
      const where = placeOf(value, state, machine.name);
      const isPlugged = machine.devices.has(name);
      if (where === "anywhere") this.#floating.set(name, isPlugged);
      if (where === "here" || (where === "anywhere" && isPlugged)) wanted.add(name);
    }
    for (const port of this.#phases.keys()) if (!wanted.has(port)) this.#phases.delete(port);
    for (const port of wanted) if (!this.#phases.has(port)) this.#open(port);
  }

  /** Tries again what was refused, and looks for those that are opened where they are found. */
  retry(): void {
    const { onChange, process } = this.#options;
    for (const [port, phase] of this.#phases) if (phase === "refused") this.#open(port);
    const { devices } = process.machine;
    if ([...this.#floating].some(([port, was]) => was !== devices.has(port))) onChange();
  }

  /** The device of a port has gone. */
  unplugged(port: string): void {
    const { process, onChange } = this.#options;
    process.after(process.machine.world.between(0, NOTICE_MAX_MS), () => {
      if (this.#phases.get(port) !== "up" || process.machine.devices.has(port)) return;
      this.#phases.set(port, "refused");
      onChange();
    });
  }

  isUp(port: string): boolean {
    return this.#phases.get(port) === "up";
  }

  list(): readonly ClaimedDevice[] {
    return [...this.#phases].map(([port, phase]) => ({ port, phase, detail: "" }));
  }

  #open(port: string): void {
    const { process, onChange } = this.#options;
    const { world, devices } = process.machine;
    const isNew = !this.#phases.has(port);
    this.#phases.set(port, "opening");
    process.after(world.between(OPEN_MIN_MS, OPEN_MAX_MS), () => {
      if (this.#phases.get(port) !== "opening") return;
      const phase = devices.has(port) ? "up" : "refused";
      this.#phases.set(port, phase);
      if (isNew || phase === "up") onChange();
    });
  }
}

/** Whether a port's device is to be opened at a chassis; "anywhere": where it is found. */
function placeOf(
  { chassis, migration, gateway }: Port,
  state: State,
  self: string,
): "here" | "anywhere" | "elsewhere" {
  if (gateway !== undefined) {
    const members = get(state, "gateway", gateway)?.value.members ?? [];
    return members.some((member) => member.chassis === self) ? "here" : "elsewhere";
  }
  if (chassis === undefined) return "anywhere";
  return chassis === self || migration?.chassis === self ? "here" : "elsewhere";
}
