/** The program that `pulumi up` runs: settings, protection, guarded release. */
import { DeploymentProtection, GuardedRelease, readSettings } from "./components";

const settings = readSettings();

const protection = new DeploymentProtection("database", settings);

if (settings.releaseVersion !== undefined) {
  new GuardedRelease("release", {
    access: protection.access,
    releaseVersion: settings.releaseVersion,
    operation: settings.operation,
    after: protection.guards,
  });
}

/** Where the backups lie. */
export const backupStore = protection.backupStore;
/** SHA-256 of the receipt that the gate wrote, or `unchanged`. */
export const receipt = protection.gate.receipt;
/** What this stack released last, or `none`. */
export const releaseVersion = settings.releaseVersion ?? "none";
/** The accepted snapshot of the environment that the next deployment is compared with. */
export const environmentBaseline = protection.environment.baseline;
