/** Subjects and the patterns that subscriptions are to: tokens with dots between them. */

export const SUBJECT_LENGTH_MAX = 200;
const SUBJECT = /^[\w*-]+(?:\.[\w*-]+)*$/;

/** Whether `text` may be a subject or a pattern. */
export function isSubject(text: string): boolean {
  return text.length <= SUBJECT_LENGTH_MAX && SUBJECT.test(text);
}

/** Whether the token `*` of `pattern` stands for what `subject` has there, all else equal. */
export function matches(pattern: readonly string[], subject: readonly string[]): boolean {
  if (pattern.length !== subject.length) return false;
  return pattern.every((token, index) => token === "*" || token === subject[index]);
}
