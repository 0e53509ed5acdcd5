/**
 * The hash of a flow: the same for both directions. Its top eight bits are the flow's bucket, its
 * low ones choose the outer source port; the owner of the bucket owns the flow's state.
 */

/** `addresses` is the sum of both addresses' mixes; ports as the protocol has them, else 0. */
export function flowHash(
  addresses: number,
  protocol: number,
  source: number,
  destination: number,
): number {
  return mix(mix(addresses ^ protocol) ^ (mix(source) + mix(destination)));
}

/** The finaliser of MurmurHash3. */
export function mix(value: number): number {
  let hash = value | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) | 0;
}
