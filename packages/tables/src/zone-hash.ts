/** Flows in several zones share a hash; mixed with the zone they spread over the index. */
export function zoneHash(flowHash: number, vniProtocol: number, portVersion: number): number {
  const zone = Math.imul(portVersion, 0x9e3779b1) ^ vniProtocol;
  const mixed = Math.imul(flowHash ^ zone, 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}
