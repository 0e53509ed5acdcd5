/**
 * What an operator carries to a new host, so that it may join once: where to ask, whom to trust,
 * and a secret. One word of text:
 *
 *   rhone1.<base64url of>
 *     0  id        8 bytes   names the token at the authority; no secret
 *     8  secret   24 bytes
 *    32  port      2 bytes
 *    34  length    1 byte    of the address
 *    35  address             text
 *        authority           its certificate, DER: nothing has to be believed on the wire
 */
import { X509Certificate } from "node:crypto";
import { parseAddress } from "@rhone/wire/address";

export interface JoinToken {
  /** 16 hex digits. */
  readonly id: string;
  readonly secret: Uint8Array;
  readonly address: string;
  readonly port: number;
  readonly authority: X509Certificate;
}

export const ID_SIZE = 8;
export const SECRET_SIZE = 24;
const PREFIX = "rhone1.";
const SECRET_AT = ID_SIZE;
const PORT_AT = SECRET_AT + SECRET_SIZE;
const LENGTH_AT = PORT_AT + 2;
const ADDRESS_AT = LENGTH_AT + 1;
const TEXT_LENGTH_MAX = 2048;

export function formatToken({ id, secret, address, port, authority }: JoinToken): string {
  const head = Buffer.alloc(3);
  head.writeUInt16BE(port);
  head.writeUInt8(address.length, 2);
  const parts = [Buffer.from(id, "hex"), secret, head, Buffer.from(address), authority.raw];
  return PREFIX + Buffer.concat(parts).toString("base64url");
}

/** null when `text` is no token, or one of another version. */
export function parseToken(text: string): JoinToken | null {
  if (!text.startsWith(PREFIX) || text.length > TEXT_LENGTH_MAX) return null;
  const encoded = text.slice(PREFIX.length);
  if (!/^[\w-]+$/.test(encoded)) return null;
  const bytes = Buffer.from(encoded, "base64url");
  const authorityAt = ADDRESS_AT + (bytes[LENGTH_AT] ?? 0);
  if (bytes.length <= authorityAt) return null;
  const address = bytes.toString("latin1", ADDRESS_AT, authorityAt);
  const port = bytes.readUInt16BE(PORT_AT);
  if (parseAddress(address) === null || port === 0) return null;
  try {
    const authority = new X509Certificate(bytes.subarray(authorityAt));
    if (!authority.ca || !authority.verify(authority.publicKey)) return null;
    const id = bytes.toString("hex", 0, ID_SIZE);
    return { id, secret: bytes.subarray(SECRET_AT, PORT_AT), address, port, authority };
  } catch {
    return null; // No certificate.
  }
}
