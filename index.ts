/** The program that `pulumi up` runs: settings, the platform's protection, ours, guarded release. */
import { AutomaticProtection, DeploymentProtection, GuardedRelease, readSettings } from "./components";

const settings = readSettings();

const platform = new AutomaticProtection("platform", settings);

const protection = new DeploymentProtection("database", settings, { dependsOn: platform.checked });

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
