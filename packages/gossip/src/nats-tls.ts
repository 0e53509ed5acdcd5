/**
 * The certificate of a chassis' nats-server, where that needs it: as files for the server, which
 * runs as another user, and as options for clients on this machine. Runs on the control thread.
 */
import { chownSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ConnectionOptions } from "node:tls";
import { hostOf } from "./identity/certificate.ts";
import type { Credentials } from "./identity/identity.ts";
import { type NatsTlsFiles, serverUser } from "./nats-config.ts";

/** Of one chassis, at this moment: certificates are renewed. */
export interface NatsIdentity {
  readonly name: string;
  readonly nats: Credentials;
  /** The authority's certificate, PEM. */
  readonly authority: string;
}

export function tlsFiles(directory: string, name: string): NatsTlsFiles {
  const [certificate, key, authority] = ["crt", "key", "ca"].map((suffix) =>
    join(directory, `nats-server-${name}.${suffix}`),
  ) as [string, string, string];
  return { certificate, key, authority };
}

/** Writes the files; nobody but the server's user can read the key. */
export function writeTlsFiles(files: NatsTlsFiles, { nats, authority }: NatsIdentity): void {
  removeTlsFiles(files);
  writeFileSync(files.certificate, nats.certificate, { mode: 0o644 });
  writeFileSync(files.authority, authority, { mode: 0o644 });
  writeFileSync(files.key, nats.key, { mode: 0o400 });
  const user = serverUser();
  if (user !== null) chownSync(files.key, Number(user.uid), Number(user.gid));
}

export function removeTlsFiles(files: NatsTlsFiles): void {
  for (const path of Object.values(files)) rmSync(path, { force: true });
}

/** What a client of the chassis' own server shows and expects: that server and no other. */
export function clientTls({ name, nats, authority }: NatsIdentity): ConnectionOptions {
  const servername = hostOf(name, "nats");
  return { ca: [authority], cert: nats.certificate, key: nats.key, servername };
}
