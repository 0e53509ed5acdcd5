/**
 * Chassis with a bug each, made by putting something wrong between the shipped parts. A simulation
 * that does not find them would not find their like in the product either.
 */

import { claimAt, claimsOf, epochOf, holderOf } from "@rhone/state/claim";
import type { Disk } from "@rhone/state/disk";
import type { Signer } from "@rhone/state/signer";
import { get } from "@rhone/state/state";
import type { Store } from "@rhone/state/store";
import type { Barrier } from "../barrier/barrier.ts";
import type { GatewaysOptions } from "../gateways/gateways.ts";
import { decode, encode, type Heartbeat } from "../gateways/messages.ts";
import type { PortClaims } from "../ports/port-claims.ts";
import type { Trust } from "../replicator.ts";
import type { Transport } from "../transport.ts";
import type { Seams } from "./chassis.ts";
import type { FaultName } from "./faults.ts";
import type { ViolationKind } from "./oracle.ts";

export interface Mutant {
  readonly seams: Seams;
  /** That may strike; all of them when left out. */
  readonly faults?: readonly FaultName[];
  /** What may be said of it. */
  readonly found: readonly ViolationKind[];
}

export const MUTANTS: Readonly<Record<string, Mutant>> = {
  /** What peers say was deleted stays. */
  "merge ignores tombstones": {
    seams: {
      store: (open, stored) => {
        const store = open(stored);
        const isOther = (text: string): boolean => !text.includes('"delete"');
        return override(store, {
          merge: (portions, vector) => {
            const left = portions.map(({ seal, texts }) => ({
              seal,
              texts: texts.filter(isOther),
            }));
            return store.merge(left, vector);
          },
        });
      },
    },
    found: ["apart"],
  },
  "whoever signs is believed": {
    seams: {
      keyring: (keyring) => override(keyring, { verify: () => "genuine" }),
    },
    found: ["invented"],
  },
  "nobody passes certificates on": {
    seams: {
      keyring: (keyring) => override(keyring, { certificatesOf: () => [] }),
    },
    found: ["apart"],
  },
  "the disk is written after the acknowledgement": {
    seams: {
      disk: (disk, process) => {
        return override(disk, {
          write(records, vector) {
            process.setTimer(() => {
              try {
                disk.write(records, vector);
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
          write(records, vector) {
            try {
              disk.write(records, vector);
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
      store: (open, stored, process) => {
        if (stored.portions.length === 0) return open(stored);
        const store = open({ ...stored, portions: [], vector: {} });
        process.setTimer(() => store.merge(stored.portions, stored.vector), 500);
        return store;
      },
    },
    found: ["lost"],
  },
  "what was deleted is forgotten at the next start": {
    seams: {
      store: (open, stored) => {
        const portions = stored.portions.map(({ seal, texts }) => {
          return { seal, texts: texts.filter((text) => !text.includes('"delete"')) };
        });
        return open({ ...stored, portions });
      },
    },
    found: ["lost"],
  },
  "the disk keeps one write about each name": {
    seams: {
      disk: (disk) =>
        override(disk, {
          write: (records, vector) => {
            const latest = records.map((record) => ({
              ...record,
              writes: record.writes.slice(-1),
            }));
            disk.write(latest, vector);
          },
        }),
    },
    found: ["lost"],
  },
  "reads come from a snapshot that is refreshed now and then": {
    seams: {
      store: (open, stored, process) => {
        const store = open(stored);
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
  "who loses a port claims it again, above the winner": {
    seams: {
      claims: (claims, store, { machine: { name } }) => {
        const outbid = (): void => {
          claims.announce();
          const state = store.snapshot();
          for (const { value } of state.bindings) {
            const port = get(state, "port", value.port)?.value;
            if (value.chassis !== name || port === undefined) continue;
            const claims = claimsOf(state, port.name);
            if (holderOf(port, claims) === name) continue;
            const document = { ...value, epoch: epochOf(claims) + 1 };
            store.transact([{ op: "put", document }], "chassis");
          }
        };
        return override(claims, { announce: outbid });
      },
    },
    found: ["reclaimed"],
  },
  "who is not heard for long is dead for good": {
    seams: {
      claims: (claims) => {
        return override(claims, {
          onMember: (chassis, status) => {
            if (status !== "alive") claims.onMember(chassis, "dead");
          },
        });
      },
    },
    found: ["reclaimed"],
  },
  "a port comes before its guest": {
    seams: {
      claims: (claims, store, { machine: { name } }) => {
        const rush = (): void => {
          const ports = store.snapshot().ports;
          const coming = ports.find(({ value }) => value.migration?.chassis === name);
          if (coming === undefined) claims.announce();
          else claims.activate(coming.name);
        };
        return override(claims, { announce: rush });
      },
    },
    found: ["reclaimed"],
  },
  "nobody takes a claim back": {
    seams: {
      claims: (claims, store, process) => {
        const { name } = process.machine;
        return override(claims, {
          announce: () => {
            const gone = store.snapshot().bindings.some(({ value }) => {
              return value.chassis === name && !process.machine.devices.has(value.port);
            });
            if (!gone) claims.announce();
          },
        });
      },
    },
    found: ["stale"],
  },
  "each counts its own claim first": {
    seams: {
      holder: (port, claims, self) => {
        return claimAt(claims, self) === undefined ? holderOf(port, claims) : self;
      },
    },
    found: ["twice"],
  },
  "to be heard by a majority is enough to forward": {
    seams: { gateways: takeForGranted },
    faults: ["partition", "one-way-cut", "isolation", "pause"],
    found: ["double"],
  },
  "packets begin when its own workers hold the tables": {
    seams: {
      barrier: (barrier) => {
        return override(barrier, {
          publish: (edition, content) => barrier.publish(edition, content, true),
        });
      },
    },
    found: ["early", "mixed"],
  },
  "who is asked says yes before its workers hold the tables": {
    seams: {
      barrier: (barrier) => {
        return override(barrier, {
          publish: (edition, content) => {
            barrier.publish(edition, content);
            barrier.hold(edition);
          },
        });
      },
    },
    found: ["early", "mixed"],
  },
};

/** `part` with some of its methods replaced; the others are its own. */
function override<T extends Disk | (Signer & Trust) | Store | Transport | Barrier | PortClaims>(
  part: T,
  methods: Partial<T>,
): T {
  return new Proxy(part, {
    get: (target, name) => {
      const method: unknown = Reflect.get(methods, name) ?? Reflect.get(target, name, target);
      return typeof method === "function" ? method.bind(target) : method;
    },
  });
}

/** Whatever a voter says is taken for a grant of what this chassis has asked for last. */
function takeForGranted(options: GatewaysOptions): GatewaysOptions {
  const { transport, send, self: to } = options;
  let sent: Heartbeat | null = null;
  const read = (data: Uint8Array): Uint8Array => {
    const heard = decode(data);
    if (heard === null || sent === null) return data;
    const { incarnation, seq, entries: asked } = sent;
    const entries = heard.entries.map((entry) => {
      const own = asked.find(({ gateway }) => gateway === entry.gateway);
      const grant = own === undefined ? entry.grant : { to, incarnation, seq, epoch: own.epoch };
      return { ...entry, grant };
    });
    return encode({ ...heard, entries });
  };
  return {
    ...options,
    send: (peer, subject, data, way) => {
      sent = decode(data);
      if (send === undefined) transport.publish(subject, data);
      else send(peer, subject, data, way);
    },
    transport: override(transport, {
      subscribe: (subject, handler) => {
        return transport.subscribe(subject, (data, respond, full) => {
          handler(read(data), respond, full);
        });
      },
    }),
  };
}
