/**
 * Three kinds of trouble, three forms (CONTRIBUTING.md, rule 7):
 *
 *   the user can fix it      UserError   one sentence + the next command, no stack    exit 2
 *   we broke a promise       assert()    stack                                        exit 70
 *   the world misbehaves     a value, or an error handled where it is understood
 *
 * A person pressing Ctrl-C is none of these: Interrupted, exit 130.
 */
export const ExitCode = { ok: 0, user: 2, bug: 70, interrupted: 130 } as const;

/** A problem that the person at the keyboard can fix. `hint` says what to type or change next. */
export class UserError extends Error {
  override readonly name = "UserError";
  readonly problem: string;
  readonly hint: string;
  constructor(problem: string, hint: string, options?: { cause?: unknown }) {
    super(`${problem}\n${hint}`, options);
    this.problem = problem;
    this.hint = hint;
  }
}

/** Work was stopped on request; nothing is half written. `resume` is the command that goes on. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  constructor(resume: string) {
    super(`interrupted; nothing is half written. Go on with: ${resume}`);
  }
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
