/** The numbers of the stages that the golden router counts and drops at (docs/pipeline.md). */
export const STAGES = 16;
export const PORT_SECURITY = 0;
export const PRE_ACL = 1;
export const ACL = 2;
export const QOS = 3;
export const LOAD_BALANCING = 4;
export const STATEFUL = 5;
export const L2 = 6;
export const ROUTING = 7;
export const POST_ROUTING = 8;
export const EGRESS_PRE_ACL = 10;
export const EGRESS_ACL = 11;
export const EGRESS_STATEFUL = 13;
export const EGRESS_PORT_SECURITY = 14;
export const OUTPUT = 15;
