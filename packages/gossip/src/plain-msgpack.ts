/**
 * Tells whether bytes are one MessagePack value made of plain JSON types, before a decoder sees
 * them. Source: https://github.com/msgpack/msgpack/blob/master/spec.md
 *
 * The decoder knows extensions that build regular expressions, errors, and functions from what the
 * sender wrote, allocates arrays of whatever length the sender claims, and recurses. None of that
 * is for a message from the network: extensions, binary, 64-bit integers (bigint), map keys that
 * are no strings, deep nesting and lengths beyond the end are refused here.
 */
const DEPTH_MAX = 16;

/** True if `bytes` hold exactly one plain value. */
export function isPlain(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return skipValue(view, 0, 0) === bytes.length;
}

/** The offset behind the value at `at`, or -1 if it is not plain or not whole. */
function skipValue(view: DataView, at: number, depth: number): number {
  if (at >= view.byteLength || depth > DEPTH_MAX) return -1;
  const token = view.getUint8(at);
  if (token < 0x80 || token >= 0xe0) return at + 1; // small integer
  if (token < 0x90) return skipItems(view, at + 1, token & 0x0f, true, depth);
  if (token < 0xa0) return skipItems(view, at + 1, token & 0x0f, false, depth);
  if (token < 0xc0) return skipBytes(view, at + 1, token & 0x1f); // short string
  switch (token) {
    case 0xc0: // nil
    case 0xc2: // false
    case 0xc3: // true
      return at + 1;
    case 0xca: // float 32
    case 0xce: // uint 32
    case 0xd2: // int 32
      return skipBytes(view, at + 1, 4);
    case 0xcb: // float 64
      return skipBytes(view, at + 1, 8);
    case 0xcc: // uint 8
    case 0xd0: // int 8
      return skipBytes(view, at + 1, 1);
    case 0xcd: // uint 16
    case 0xd1: // int 16
      return skipBytes(view, at + 1, 2);
    case 0xd9: // string, by the width of its length
      return skipBytes(view, at + 2, lengthAt(view, at + 1, 1));
    case 0xda:
      return skipBytes(view, at + 3, lengthAt(view, at + 1, 2));
    case 0xdb:
      return skipBytes(view, at + 5, lengthAt(view, at + 1, 4));
    case 0xdc: // array
      return skipItems(view, at + 3, lengthAt(view, at + 1, 2), false, depth);
    case 0xdd:
      return skipItems(view, at + 5, lengthAt(view, at + 1, 4), false, depth);
    case 0xde: // map
      return skipItems(view, at + 3, lengthAt(view, at + 1, 2), true, depth);
    case 0xdf:
      return skipItems(view, at + 5, lengthAt(view, at + 1, 4), true, depth);
    default:
      return -1;
  }
}

/** The length field of `width` bytes; -1 where it is cut off. */
function lengthAt(view: DataView, at: number, width: 1 | 2 | 4): number {
  if (at + width > view.byteLength) return -1;
  if (width === 1) return view.getUint8(at);
  return width === 2 ? view.getUint16(at) : view.getUint32(at);
}

function skipBytes(view: DataView, at: number, size: number): number {
  return size < 0 || at + size > view.byteLength ? -1 : at + size;
}

function skipItems(
  view: DataView,
  at: number,
  count: number,
  isMap: boolean,
  depth: number,
): number {
  if (count < 0) return -1;
  let end = at;
  for (let i = 0; i < count; i++) {
    if (isMap && !isString(view, end)) return -1;
    if (isMap) end = skipValue(view, end, depth + 1);
    if (end >= 0) end = skipValue(view, end, depth + 1);
    if (end < 0) return -1;
  }
  return end;
}

function isString(view: DataView, at: number): boolean {
  if (at >= view.byteLength) return false;
  const token = view.getUint8(at);
  return (token >= 0xa0 && token < 0xc0) || (token >= 0xd9 && token <= 0xdb);
}
