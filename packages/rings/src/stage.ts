/** Numbers of the stages at which a packet may go on, at another worker or another chassis. */

export const STAGE_COUNT = 16;

export const PRE_ACL = 1;
/** Where connections are committed, or blocked. */
export const STATEFUL = 5;
/** From here on a packet is at the chassis of its destination. */
export const POST_ROUTING = 8;
export const EGRESS_PRE_ACL = 10;
export const EGRESS_STATEFUL = 13;
export const OUTPUT = 15;
