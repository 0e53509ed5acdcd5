/** How long a connection is kept without a packet, in milliseconds (docs/pipeline.md). */
const SECOND = 1000;

export const UDP_MS = 60 * SECOND;
export const UDP_REPLIED_MS = 120 * SECOND;
export const ICMP_MS = 30 * SECOND;
export const OTHER_MS = 60 * SECOND;
/** Of TCP that an answer began, from then on and until who must have asked is heard. */
export const PICKED_UP_MS = 30 * SECOND;

/** By state of the TCP tracker. */
export const TCP_MS = {
  synSent: 30 * SECOND,
  synReceived: 30 * SECOND,
  established: 86_400 * SECOND,
  finWait: 900 * SECOND,
  closing: 30 * SECOND,
  timeWait: 45 * SECOND,
  closed: 10 * SECOND,
} as const;
