/**
 * Requests that this chassis refused for want of a token or a role: counted, and the last of each
 * kept here. They do not go into the replicated state, which strangers could fill with them. Run by
 * the control thread.
 */
import type { RefusedView } from "./context.ts";

/** Kept, of those with a good token and of those without one: neither pushes the others out. */
export const REFUSED_MAX = 100;
const PATH_LENGTH_MAX = 128;

export type RefusedStatus = 401 | 403 | 429;
export type Refused = RefusedView["newest"][number];

export class RefusalLog {
  readonly #counts = { 401: 0, 403: 0, 429: 0 };
  readonly #known = new Map<string, Refused>();
  readonly #strangers = new Map<string, Refused>();

  /** Requests that differ in nothing but the time are one line with a count. */
  add({ path, ...request }: Omit<Refused, "count">): void {
    this.#counts[request.status]++;
    const lines = request.who === null ? this.#strangers : this.#known;
    const short = path.slice(0, PATH_LENGTH_MAX);
    const { status, who, from, method } = request;
    const key = JSON.stringify([status, who, from, method, short]);
    const count = (lines.get(key)?.count ?? 0) + 1;
    lines.delete(key); // The newest stands last.
    lines.set(key, { ...request, path: short, count });
    if (lines.size <= REFUSED_MAX) return;
    const [oldest] = lines.keys();
    lines.delete(oldest!);
  }

  view(chassis: string): RefusedView {
    const lines = [...this.#known.values(), ...this.#strangers.values()];
    const newest = lines.sort((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0));
    return { chassis, counts: { ...this.#counts }, newest };
  }
}
