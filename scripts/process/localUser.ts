/** The name of the user that runs this process; a container may give it a number that nobody has a name for. */
import { userInfo } from "node:os";

/** Undefined where the machine has no entry for this user: `docker run --user 12345`, OpenShift. */
export function localUserName(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    return undefined;
  }
}

/** For the record: `ann`, or `uid 12345` where there is no name. */
export function localUser(): string {
  return localUserName() ?? `uid ${process.getuid?.() ?? "unknown"}`;
}
