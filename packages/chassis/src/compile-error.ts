/** Says which object it is that cannot be compiled. Part of `compile`, and pure like it. */

/** What `make` returns; what it throws gets the object's kind and name in front. */
export function compiled<T>(kind: string, name: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw new Error(`${kind} ${name}: ${(error as Error).message}`, { cause: error });
  }
}
