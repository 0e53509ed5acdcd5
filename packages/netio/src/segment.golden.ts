/**
 * Segmentation as plainly as it can be said, over copies of bytes: what segment.ts is checked
 * against. Used by tests only.
 */

export interface SuperFrame {
  readonly frame: Uint8Array;
  /** Byte offsets in the frame. */
  readonly l3: number;
  readonly l4: number;
  readonly isTcp: boolean;
  readonly isIpv4: boolean;
  readonly segmentSize: number;
}

/** The frames that a super-frame stands for. */
export function segmentPlainly(superFrame: SuperFrame): Uint8Array[] {
  const { frame, l3, l4, isTcp, isIpv4, segmentSize } = superFrame;
  const headersSize = l4 + (isTcp ? (frame[l4 + 12]! >> 4) * 4 : 8);
  const payload = frame.slice(headersSize);
  const frames: Uint8Array[] = [];
  for (let from = 0; from < payload.length; from += segmentSize) {
    const part = payload.slice(from, from + segmentSize);
    const segment = new Uint8Array(headersSize + part.length);
    segment.set(frame.slice(0, headersSize));
    segment.set(part, headersSize);
    const view = new DataView(segment.buffer);
    if (isIpv4) {
      view.setUint16(l3 + 2, segment.length - l3);
      view.setUint16(l3 + 4, view.getUint16(l3 + 4) + frames.length);
      view.setUint16(l3 + 10, 0);
      view.setUint16(l3 + 10, onesComplement(segment.slice(l3, l4)));
    } else {
      view.setUint16(l3 + 4, segment.length - l3 - 40);
    }
    if (isTcp) {
      view.setUint32(l4 + 4, view.getUint32(l4 + 4) + from);
      if (from + segmentSize < payload.length) segment[l4 + 13]! &= ~(0x01 | 0x08);
      if (from > 0) segment[l4 + 13]! &= ~0x80;
    } else {
      view.setUint16(l4 + 4, segment.length - l4);
    }
    const checksumAt = l4 + (isTcp ? 16 : 6);
    view.setUint16(checksumAt, 0);
    const sum = transportChecksum(segment, superFrame);
    view.setUint16(checksumAt, !isTcp && sum === 0 ? 0xffff : sum);
    frames.push(segment);
  }
  return frames;
}

/** Of the bytes from the transport header on as they are: 0 when the checksum in them is right. */
export function transportChecksum(
  segment: Uint8Array,
  { l3, l4, isTcp, isIpv4 }: Pick<SuperFrame, "l3" | "l4" | "isTcp" | "isIpv4">,
): number {
  const size = segment.length - l4;
  const addresses = segment.slice(l3 + (isIpv4 ? 12 : 8), l3 + (isIpv4 ? 20 : 40));
  const rest = [size >> 24, (size >> 16) & 255, (size >> 8) & 255, size & 255];
  const protocol = [0, 0, 0, isTcp ? 6 : 17];
  return onesComplement(
    Uint8Array.from([...addresses, ...rest, ...protocol, ...segment.slice(l4)]),
  );
}

/** RFC 1071 by the letter: add 16-bit words with end-around carry, complement. */
export function onesComplement(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return 0xffff - sum;
}
