/** What a command answers with: text for people, JSON for programs. */
export function print(
  { json }: { readonly json?: boolean },
  value: object,
  format: () => string,
): void {
  process.stdout.write(`${json ? JSON.stringify(value) : format()}\n`);
}
