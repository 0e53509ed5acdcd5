/**
 * IPv6 header (RFC 8200 §3): 40 bytes, and the walk over its extension headers (§4).
 *
 *   |Version| Traffic Class |           Flow Label                  |
 *   |         Payload Length        |  Next Header  |   Hop Limit   |
 *   |                     Source Address (16)                       |
 *   |                   Destination Address (16)                    |
 */
export const HEADER_SIZE = 40; // bytes
export const NEXT_HEADER_HOP_BY_HOP = 0;
export const NEXT_HEADER_ROUTING = 43;
export const NEXT_HEADER_FRAGMENT = 44;
export const NEXT_HEADER_AUTHENTICATION = 51; // RFC 4302
export const NEXT_HEADER_DESTINATION = 60;

const VERSION_CLASS_LABEL = 0;
const PAYLOAD_LENGTH = 4;
const NEXT_HEADER = 6;
const HOP_LIMIT = 7;
/** Byte offset of the source address in the header. */
export const SOURCE = 8;
/** Byte offset of the destination address in the header. */
export const DESTINATION = 24;
/** More extension headers than this are nobody's honest packet. */
const EXTENSIONS_MAX = 8;
const CUT_OFF = -1;

export function isValid(view: DataView, at: number, end: number): boolean {
  if (end - at < HEADER_SIZE || view.getUint8(at) >>> 4 !== 6) return false;
  return HEADER_SIZE + payloadLength(view, at) <= end - at;
}

export function trafficClass(view: DataView, at: number): number {
  return (view.getUint16(at + VERSION_CLASS_LABEL) >>> 4) & 0xff;
}

export function flowLabel(view: DataView, at: number): number {
  return view.getInt32(at + VERSION_CLASS_LABEL) & 0xfffff;
}

export function payloadLength(view: DataView, at: number): number {
  return view.getUint16(at + PAYLOAD_LENGTH);
}

export function nextHeader(view: DataView, at: number): number {
  return view.getUint8(at + NEXT_HEADER);
}

export function hopLimit(view: DataView, at: number): number {
  return view.getUint8(at + HOP_LIMIT);
}

/**
 * Whether the 16 bytes at `addressAt` are ::ffff:a.b.c.d (RFC 4291 §2.5.5.2): a way to write IPv4
 * addresses that no packet carries, and that would pass for them (RFC 4942 §2.2).
 */
export function isMappedIpv4(view: DataView, addressAt: number): boolean {
  const isFirst = (view.getInt32(addressAt) | view.getInt32(addressAt + 4)) === 0;
  return isFirst && view.getInt32(addressAt + 8) === 0xffff;
}

/** Word `word` (0–3) of the source address, as a signed number. */
export function sourceWord(view: DataView, at: number, word: number): number {
  return view.getInt32(at + SOURCE + word * 4);
}

/** Word `word` (0–3) of the destination address, as a signed number. */
export function destinationWord(view: DataView, at: number, word: number): number {
  return view.getInt32(at + DESTINATION + word * 4);
}

export function setPayloadLength(view: DataView, at: number, value: number): void {
  view.setUint16(at + PAYLOAD_LENGTH, value);
}

export function setNextHeader(view: DataView, at: number, value: number): void {
  view.setUint8(at + NEXT_HEADER, value);
}

export function setHopLimit(view: DataView, at: number, value: number): void {
  view.setUint8(at + HOP_LIMIT, value);
}

export function setSourceWord(view: DataView, at: number, word: number, value: number): void {
  view.setInt32(at + SOURCE + word * 4, value);
}

export function setDestinationWord(view: DataView, at: number, word: number, value: number): void {
  view.setInt32(at + DESTINATION + word * 4, value);
}

/** Writes everything but the addresses; traffic class and flow label are 0. */
export function write(
  view: DataView,
  at: number,
  payloadLength: number,
  nextHeader: number,
  hopLimit: number,
): void {
  view.setInt32(at + VERSION_CLASS_LABEL, 0x60000000);
  view.setUint16(at + PAYLOAD_LENGTH, payloadLength);
  view.setUint8(at + NEXT_HEADER, nextHeader);
  view.setUint8(at + HOP_LIMIT, hopLimit);
}

/**
 * Byte offset of the transport header behind all extension headers; 0 in a fragment that is not the
 * first; -1 when the chain is cut off or too long. `end` is the end of the IPv6 packet.
 */
export function findTransport(view: DataView, at: number, end: number): number {
  let header = nextHeader(view, at);
  let next = at + HEADER_SIZE;
  for (let count = 0; isExtension(header); count++) {
    if (count === EXTENSIONS_MAX || end - next < 8) return CUT_OFF;
    if (header === NEXT_HEADER_FRAGMENT && isLaterFragment(view, next)) return 0;
    const size = extensionSize(view, next, header);
    if (size > end - next) return CUT_OFF;
    header = view.getUint8(next);
    next += size;
  }
  return next;
}

/** Protocol number behind the extension headers; call when `findTransport` is not -1. */
export function transportProtocol(view: DataView, at: number, end: number): number {
  let header = nextHeader(view, at);
  let next = at + HEADER_SIZE;
  for (let count = 0; count < EXTENSIONS_MAX && isExtension(header) && end - next >= 8; count++) {
    const isLast = header === NEXT_HEADER_FRAGMENT && isLaterFragment(view, next);
    const size = extensionSize(view, next, header);
    header = view.getUint8(next);
    next += size;
    if (isLast) break;
  }
  return header;
}

/** Whether there is a fragment header; call when `findTransport` is not -1. */
export function isFragment(view: DataView, at: number, end: number): boolean {
  let header = nextHeader(view, at);
  let next = at + HEADER_SIZE;
  for (let count = 0; count < EXTENSIONS_MAX && isExtension(header) && end - next >= 8; count++) {
    if (header === NEXT_HEADER_FRAGMENT) return true;
    const size = extensionSize(view, next, header);
    header = view.getUint8(next);
    next += size;
  }
  return false;
}

/** Identification of a fragment header (RFC 8200 §4.5), signed; 0 when there is none. */
export function fragmentIdentification(view: DataView, at: number, end: number): number {
  let header = nextHeader(view, at);
  let next = at + HEADER_SIZE;
  for (let count = 0; count < EXTENSIONS_MAX && isExtension(header) && end - next >= 8; count++) {
    if (header === NEXT_HEADER_FRAGMENT) return view.getInt32(next + 4);
    const size = extensionSize(view, next, header);
    header = view.getUint8(next);
    next += size;
  }
  return 0;
}

function isExtension(header: number): boolean {
  return (
    header === NEXT_HEADER_HOP_BY_HOP ||
    header === NEXT_HEADER_ROUTING ||
    header === NEXT_HEADER_FRAGMENT ||
    header === NEXT_HEADER_AUTHENTICATION ||
    header === NEXT_HEADER_DESTINATION
  );
}

function extensionSize(view: DataView, at: number, header: number): number {
  if (header === NEXT_HEADER_FRAGMENT) return 8;
  const length = view.getUint8(at + 1);
  return header === NEXT_HEADER_AUTHENTICATION ? (length + 2) * 4 : (length + 1) * 8;
}

function isLaterFragment(view: DataView, at: number): boolean {
  return (view.getUint16(at + 2) & 0xfff8) !== 0;
}
