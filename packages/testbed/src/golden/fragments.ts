/**
 * Fragments (RFC 791 §3.2, RFC 8200 §4.5): the first one tells its chassis the ports, and the later
 * ones are treated as if they carried them.
 */

import { portsOf } from "./connections.ts";
import { headersOf } from "./headers.ts";

const LIFETIME_MS = 30_000;

interface Told {
  readonly ports: readonly [number, number];
  readonly atMs: number;
}

export class Fragments {
  readonly #told = new Map<string, Told>();

  /** The packet's ports at a chassis; null when it is a later fragment without a first one. */
  resolve(
    chassis: string,
    switchName: string,
    bytes: Buffer,
    nowMs: number,
  ): readonly [number, number] | null {
    const ip = headersOf(bytes).ip!;
    if (!ip.isFragment) return portsOf(bytes, ip);
    const { protocol, identification, source, destination } = ip;
    const key = [chassis, switchName, protocol, identification, source, destination].join(" ");
    if (ip.isLaterFragment) {
      const told = this.#told.get(key);
      return told === undefined || nowMs - told.atMs > LIFETIME_MS ? null : told.ports;
    }
    const ports = portsOf(bytes, ip);
    this.#told.set(key, { ports, atMs: nowMs });
    return ports;
  }
}
