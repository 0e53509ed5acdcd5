/** Says which object it is that cannot be compiled. Part of `compile`, and pure like it. */

export class CompileError extends Error {
  /** Of the object. */
  readonly kind: string;
  readonly object: string;

  constructor(kind: string, object: string, cause: Error) {
    super(`${kind} ${object}: ${cause.message}`, { cause });
    this.kind = kind;
    this.object = object;
  }
}

/** What `make` returns; what it throws gets the object's kind and name in front. */
export function compiled<T>(kind: string, name: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw new CompileError(kind, name, error as Error);
  }
}
