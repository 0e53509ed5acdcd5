/**
 * Whether SQLite's write-ahead log still says what was written to it. SQLite reads a log up to the
 * first frame that is not whole and forgets the rest in silence, since a power cut leaves such
 * frames; but then acknowledged writes may be gone. Source: sqlite.org/fileformat2.html §4. Run by
 * the control thread at the start.
 *
 *   header  magic | version | page size | checkpoint | salt | salt | checksum | checksum
 *   frame   page number | size after commit | salt | salt | checksum | checksum | page
 *
 * All words have 32 bits, the highest byte first. A checksum goes on from the one before it; salts
 * are not in it, and are others in frames that a new run of the log has not reached yet.
 */

const HEADER_SIZE = 32; // bytes
const FRAME_HEADER_SIZE = 24; // bytes
const PAGE_SIZE_MIN = 512;
const PAGE_SIZE_MAX = 65_536;
/** Its lowest bit says in which order the bytes of words are summed: 1, the highest first. */
const MAGIC = 0x377f0682;

const HEADER = { magic: 0, pageSize: 8, salts: 16, checksums: 24 };
const FRAME = { salts: 8, checksums: 16 };
/** Bytes of a header that its checksum is over. */
const HEADER_SUMMED = 24;
const FRAME_SUMMED = 8;

/** What is wrong with the log in `bytes`, for an operator; null when nothing is. */
export function journalDamage(bytes: Uint8Array): string | null {
  if (bytes.length < HEADER_SIZE) return null; // Nothing was committed to it yet.
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = view.getUint32(HEADER.magic);
  const pageSize = view.getUint32(HEADER.pageSize);
  const isLittleEndian = (magic & 1) === 0;
  const sum = new Sum(view, isLittleEndian);
  sum.add(0, HEADER_SUMMED);
  const isPageSize = pageSize >= PAGE_SIZE_MIN && pageSize <= PAGE_SIZE_MAX;
  if ((magic & ~1) >>> 0 !== MAGIC || !isPageSize || !sum.isAt(HEADER.checksums)) {
    return "in the header of the journal";
  }
  const frameSize = FRAME_HEADER_SIZE + pageSize;
  const count = Math.floor((bytes.length - HEADER_SIZE) / frameSize);
  const isOfThisRun = (frame: number): boolean => {
    const at = HEADER_SIZE + frame * frameSize + FRAME.salts;
    return [0, 4].every(
      (word) => view.getUint32(at + word) === view.getUint32(HEADER.salts + word),
    );
  };
  for (let frame = 0; frame < count; frame++) {
    const at = HEADER_SIZE + frame * frameSize;
    sum.add(at, FRAME_SUMMED);
    sum.add(at + FRAME_HEADER_SIZE, pageSize);
    const isWhole = sum.isAt(at + FRAME.checksums);
    if (isWhole && isOfThisRun(frame)) continue;
    const rest = Array.from({ length: count - frame }, (_, i) => frame + i);
    const isEnd = !isWhole && !rest.some(isOfThisRun);
    return isEnd ? null : `in frame ${frame + 1} of ${count} of the journal`;
  }
  return null;
}

/** The running checksum of a log. */
class Sum {
  readonly #view: DataView;
  readonly #isLittleEndian: boolean;
  #first = 0;
  #second = 0;

  constructor(view: DataView, isLittleEndian: boolean) {
    this.#view = view;
    this.#isLittleEndian = isLittleEndian;
  }

  /** Goes on over `size` bytes at `at`, a multiple of 8. */
  add(at: number, size: number): void {
    for (let i = at; i < at + size; i += 8) {
      this.#first =
        (this.#first + this.#view.getUint32(i, this.#isLittleEndian) + this.#second) >>> 0;
      this.#second =
        (this.#second + this.#view.getUint32(i + 4, this.#isLittleEndian) + this.#first) >>> 0;
    }
  }

  isAt(at: number): boolean {
    return (
      this.#first === this.#view.getUint32(at) && this.#second === this.#view.getUint32(at + 4)
    );
  }
}
