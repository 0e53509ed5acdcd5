/**
 * Where messages go. Everything that chassis `c` says by itself is under `rhone.o.c`, so that one
 * rule in a NATS server keeps it from speaking for others; everything asked of it, `rhone.req.c`.
 */

/** What `origin` has changed; `*` for every origin. */
export function changes(origin: string): string {
  return `rhone.o.${origin}.d`;
}

/** The heartbeats of `origin`; `*` for every origin. */
export function heartbeats(origin: string): string {
  return `rhone.o.${origin}.h`;
}

/** Requests for the entries of `peer`. */
export function sync(peer: string): string {
  return `rhone.req.${peer}.sync`;
}

/** Questions whether `peer` runs something. */
export function applied(peer: string): string {
  return `rhone.req.${peer}.applied`;
}

/** Requests for the connections of a port that `peer` had. */
export function connections(peer: string): string {
  return `rhone.req.${peer}.connections`;
}

/** Heartbeats for `peer` alone, which has asked everybody for one. */
export function answers(peer: string): string {
  return `rhone.req.${peer}.h`;
}

/** A heartbeat that asks everybody for theirs. */
export const ASK_ALL = "rhone.sync";

/** The chassis that a subject under `rhone.o` belongs to. */
export function originOf(subject: string): string | undefined {
  return subject.split(".")[2];
}

/** What `from` tells `to` about who lives; `*` for every sender. */
export function memberMessages(from: string, to: string): string {
  return `rhone.o.${from}.m.${to}`;
}

/** What `from` tells everybody about the tables of chassis; `*` for every sender. */
export function barrierNews(from: string): string {
  return `rhone.o.${from}.b`;
}

/** What `from` tells `to` about them. */
export function barrierAnswers(from: string, to: string): string {
  return `rhone.o.${from}.b.${to}`;
}

/** What `from` tells `to` about gateways that both have a voice in; `*` for every sender. */
export function gatewayMessages(from: string, to: string): string {
  return `rhone.o.${from}.g.${to}`;
}
