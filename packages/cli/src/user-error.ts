/** What the user can put right: told as one message, without a stack. */
export class UserError extends Error {
  override readonly name = "UserError";
  readonly exitCode: number;

  constructor(message: string, exitCode: number = EXIT_USAGE) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** What was asked for did not succeed. */
export const EXIT_FAILED = 1;
/** The command line, a file or the machine is not as it must be; nothing was done. */
export const EXIT_USAGE = 2;
