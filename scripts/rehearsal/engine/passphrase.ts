/** What the rehearsal's states are encrypted with: Pulumi's own variable, or a new one for this process alone. */
import { randomBytes } from "node:crypto";

export const statePassphrase = process.env["PULUMI_CONFIG_PASSPHRASE"] ?? randomBytes(24).toString("base64url");
