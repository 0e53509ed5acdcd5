/**
 * Chassis with a bug each, made by putting something wrong between the shipped parts. A simulation
 * that does not find them would not find their like in the product either.
 */
import type { Entry } from "@rhone/state/record";
import type { Disk } from "@rhone/state/replica";
import type { Store } from "@rhone/state/store";
import type { Transport } from "../transport.ts";
import type { Seams } from "./chassis.ts";
import type { ViolationKind } from "./oracle.ts";

export interface Mutant {
  readonly seams: Seams;
  /** What may be said of it. */
  readonly found: readonly ViolationKind[];
}

export const MUTANTS: Readonly<Record<string, Mutant>> = {
  /** What peers say was deleted stays. */
  "merge ignores tombstones": {
    seams: {
      store: (open, rows) => {
        const store = open(rows);
        return override(store, {
          merge: (entries) => store.merge(entries.filter(({ value }) => value !== null)),
        });
      },
    },
    found: ["apart"],
  },
  "merge takes whatever came last": {
    seams: {
      store: (open, rows) => {
        const store = open(rows);
        const restamp = (entry: Entry): Entry => {
          const clock = Math.max(entry.version.clock, store.revision + 1);
          return { ...entry, version: { ...entry.version, clock } };
        };
        return override(store, { merge: (entries) => store.merge(entries.map(restamp)) });
      },
    },
    found: ["invented"],
  },
  "the disk is written after the acknowledgement": {
    seams: {
      disk: (disk, process) => {
        return override(disk, {
          write(entries) {
            process.setTimer(() => {
              try {
                disk.write(entries);
              } catch {
                // Nobody is left who could be told.
              }
            }, 200);
          },
        });
      },
    },
    found: ["lost"],
  },
  "a full disk is taken for a write that worked": {
    seams: {
      disk: (disk) => {
        return override(disk, {
          write(entries) {
            try {
              disk.write(entries);
            } catch {
              // So the replica believes that all is well.
            }
          },
        });
      },
    },
    found: ["lost"],
  },
  "nothing is ever repaired": {
    seams: {
      transport: (transport) => {
        return override(transport, { request: () => Promise.reject(new Error("not today")) });
      },
    },
    found: ["apart"],
  },
  "a restart begins before the disk was read": {
    seams: {
      store: (open, rows, process) => {
        const store = open([]);
        let isRead = rows.length === 0;
        process.setTimer(() => {
          isRead = true;
          store.merge(rows);
        }, 500);
        return override(store, { entries: () => (isRead ? store.entries() : rows) });
      },
    },
    found: ["clock", "invented", "unread"],
  },
  "what a chassis deleted is forgotten at its next start": {
    seams: {
      store: (open, rows) => open(rows.filter(({ value }) => value !== null)),
    },
    found: ["lost"],
  },
  "reads come from a snapshot that is refreshed now and then": {
    seams: {
      store: (open, rows, process) => {
        const store = open(rows);
        let shown = store.entries();
        const refresh = (): void => {
          shown = store.entries();
          process.setTimer(refresh, 50);
        };
        refresh();
        return override(store, { entries: () => shown });
      },
    },
    found: ["unread"],
  },
  "each reconnection leaves a timer behind": {
    seams: {
      transport: (transport, process) => {
        const rearm = (): void => void process.setTimer(rearm, 1000);
        transport.onReconnect(() => {
          for (let i = 0; i < 25; i++) rearm();
        });
        return transport;
      },
    },
    found: ["unbounded"],
  },
  "nobody hears that others take it for dead": {
    seams: {
      transport: (transport) => {
        const isOfMembers = (subject: string): boolean => /\.m\.\w+$/.test(subject);
        return override(transport, {
          subscribe: (subject, handler) => {
            return isOfMembers(subject) ? () => {} : transport.subscribe(subject, handler);
          },
        });
      },
    },
    found: ["apart"],
  },
};

/** `part` with some of its methods replaced; the others are its own. */
function override<T extends Disk | Store | Transport>(part: T, methods: Partial<T>): T {
  return new Proxy(part, {
    get: (target, name) => {
      const method: unknown = Reflect.get(methods, name) ?? Reflect.get(target, name, target);
      return typeof method === "function" ? method.bind(target) : method;
    },
  });
}
