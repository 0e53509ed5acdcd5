/** Where REST is served over TCP, and whether that is safe. */

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
  /** Nobody but this machine reaches it. */
  readonly isLoopback: boolean;
}

/** Of `host:port`, an IPv6 address in brackets. */
export function listenAddress(text: string): ListenAddress {
  const at = text.lastIndexOf(":");
  const host = text.slice(0, at).replace(/^\[(.*)\]$/, "$1");
  const isLoopback = host === "localhost" || host === "::1" || host.startsWith("127.");
  return { host, port: Number(text.slice(at + 1)), isLoopback };
}

/**
 * Throws Error, which says what to do, when tokens would be sent where others can read them: only a
 * member of a cluster has a certificate.
 */
export function assertSecure(text: string, isMember: boolean): void {
  if (isMember || listenAddress(text).isLoopback) return;
  throw new Error(
    `api.listen: expected a loopback address, got "${text}": elsewhere REST needs TLS, and a ` +
      'chassis has no certificate before "rhone cluster init" or "rhone join"',
  );
}
