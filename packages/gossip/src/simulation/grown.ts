/**
 * A cluster that has been there for long, before it starts: every disk holds what each chassis says
 * of itself, and every machine has the certificates of all.
 */
import type { DiskRecord } from "@rhone/state/disk";
import { Replica } from "@rhone/state/replica";
import { Keyring } from "./keyring.ts";
import { introductionOf, type Simulation } from "./simulation.ts";

export function grow({ machines, plan, oracle }: Simulation): void {
  const records: DiskRecord[] = [];
  const vector: Record<string, number> = {};
  const signers = machines.map((machine) => new Keyring(machine.name, machine.knownKeys));
  for (const [i, machine] of machines.entries()) {
    const signer = plan.isSigned ? signers[i]! : null;
    const disk = {
      write: (some: readonly DiskRecord[], advances: object) => {
        records.push(...some);
        Object.assign(vector, advances);
      },
      close: () => {},
    };
    const { name: origin, wallClock } = machine;
    const store = new Replica({ origin, disk, signer, wallClock });
    store.onChange((_entries, _source, portions) => oracle.authored(machine, portions));
    const done = store.transact([introductionOf(machine)], "chassis");
    if (!done.ok) throw new Error(done.error.message);
  }
  const certificates = signers.map(({ id }) => id);
  for (const [i, machine] of machines.entries()) {
    signers[i]!.learn(certificates);
    machine.disk.keep(records, vector);
    oracle.kept(machine, records);
  }
}
