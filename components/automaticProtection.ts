/**
 * Level 1: the platform's own protection. Nothing is created, for it is built in; so nobody checks it, and this does, at
 * every preview and every `up`: a requirement that is not met ends the program with one line.
 */
import { local } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { z } from "zod";
import { type OperationSettingsInput, operationSettingsSchema } from "../scripts/settings";
import { commandLine, platformEnvironment } from "./commands";
import { halt, knownOr } from "./sdk";

export interface AutomaticProtectionArgs {
  /** What is demanded of the platform: `platform` of it. Defaults to the documented default of each. */
  readonly operation?: OperationSettingsInput | undefined;
  /**
   * Connection URL of the database, for a server of one's own. Defaults to `DATABASE_URL` in the environment of
   * `pulumi up`; Supabase's Management API is asked with `SUPABASE_ACCESS_TOKEN` of that environment instead.
   */
  readonly databaseUrl?: pulumi.Input<string> | undefined;
  /** Shell words that start the operational program; see `CommandAccess.program`. */
  readonly program?: string | undefined;
}

/** What `platform:check --preview` prints; it exits 0 with either verdict. */
const verdictSchema = z.object({
  verdict: z.enum(["pass", "halt"]),
  message: z.string().nullable(),
  hint: z.string().nullable(),
  warnings: z.array(z.string()),
});

/** Stands for what was not printed; never empty, so that a program which prints nothing is not mistaken for it. */
const notKnown = "not known before pulumi up";

export class AutomaticProtection extends pulumi.ComponentResource {
  /** For `dependsOn`: fails when the platform's protection is not as demanded. It holds no resources. */
  readonly checked: pulumi.Output<pulumi.Resource[]>;

  constructor(name: string, args: AutomaticProtectionArgs = {}, opts?: pulumi.ComponentResourceOptions) {
    super("database-protection:index:AutomaticProtection", name, {}, opts);
    const printed = local.runOutput(
      {
        command: commandLine("platformCheck", args.program),
        environment: platformEnvironment(args.databaseUrl, operationSettingsSchema.parse(args.operation ?? {})),
        logging: local.Logging.Stderr,
        addPreviousOutputInEnv: false,
      },
      { parent: this },
    ).stdout;
    this.checked = knownOr(pulumi.unsecret(printed), notKnown).apply((text) => this.judge(text));
    this.registerOutputs({});
  }

  private judge(text: string): pulumi.Resource[] {
    if (text === notKnown) {
      void pulumi.log.info("platform not checked: the database's address is not known before pulumi up", this);
      return [];
    }
    const { verdict, message, hint, warnings } = parseVerdict(text);
    for (const warning of warnings) void pulumi.log.warn(warning.replace(/^WARNING /, "platform: "), this);
    if (verdict === "pass") return [];
    throw halt([`Level 1 halts: ${message ?? "no reason given"}`, ...(hint === null ? [] : [hint])].join(": "));
  }
}

function parseVerdict(text: string): z.infer<typeof verdictSchema> {
  try {
    return verdictSchema.parse(JSON.parse(text));
  } catch {
    throw halt("Level 1 halts: its check printed no verdict: run `dbprotect platform:check` to see why");
  }
}
