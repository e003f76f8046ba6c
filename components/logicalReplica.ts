/**
 * Level 3: a live replica of the database on another server, best in another region, fed by logical replication: a server of
 * Amazon RDS or one that exists, and the link between both as a Command that sets up, sets anew, and takes down.
 */
import * as aws from "@pulumi/aws/provider";
import { local } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { type ReplicaSettings, replicaSettingsSchema } from "../scripts/settings";
import { type CommandAccess, commandLine, replicaEnvironment } from "./commands";
import { ReplicaServer, type ReplicaServerArgs } from "./replicaServer";

/** A server to create, and where. */
export interface CreatedReplicaArgs extends ReplicaServerArgs {
  /** AWS region. Defaults to the provider's. Plain: decides whether there is a provider for it. */
  readonly region?: string | undefined;
}

export interface LogicalReplicaArgs {
  /** How the commands find their program and the source. */
  readonly access: Pick<CommandAccess, "program" | "databaseUrl">;
  /** The server to create. Exactly one of this and `databaseUrl`. Plain: decides that. */
  readonly server?: CreatedReplicaArgs | undefined;
  /** URL of an empty database on a server that exists: its owner, who may subscribe. */
  readonly databaseUrl?: pulumi.Input<string> | undefined;
  /**
   * URL by which the replica's server reaches the source, and as whom. Defaults to that of the source. Of hosted Supabase:
   * the direct host, for no pooler carries replication.
   */
  readonly sourceUrl?: pulumi.Input<string> | undefined;
  /** Name, uncovered tables, and what else `replica` of the settings has. Defaults to the documented default of each. */
  readonly replica?: Partial<ReplicaSettings> | undefined;
  /** Longest first copy. Defaults to `24h`. */
  readonly timeout?: string | undefined;
}

export class LogicalReplica extends pulumi.ComponentResource {
  /** The server, where one is created. */
  readonly server: ReplicaServer | undefined;
  /** Publication, slot and subscription. Deleting it drops all three, or fails. */
  readonly link: local.Command;
  /** URL of the replica, once it follows: hand it to `DeploymentProtection`, so that the gate looks at it. Secret. */
  readonly databaseUrl: pulumi.Output<string>;
  /** `host:port/database`: no secret. */
  readonly address: pulumi.Output<string>;

  constructor(name: string, args: LogicalReplicaArgs, opts?: pulumi.ComponentResourceOptions) {
    const { server, databaseUrl } = args;
    if ((server === undefined) === (databaseUrl === undefined))
      throw new pulumi.RunError(
        `${name}: found ${server === undefined ? "neither server nor databaseUrl" : "both server and databaseUrl"}: expected one of the two`,
      );
    super("database-protection:index:LogicalReplica", name, {}, opts);
    this.server = server === undefined ? undefined : this.create(`${name}-server`, server);
    const url = this.server?.databaseUrl ?? pulumi.secret(databaseUrl ?? "");
    this.address = this.server?.address ?? pulumi.unsecret(url.apply((text) => addressOf(name, text)));
    const replica = replicaSettingsSchema.parse(args.replica ?? {});
    const timeout = args.timeout ?? "24h";
    this.link = new local.Command(
      `${name}-link`,
      {
        create: commandLine("replicaSetup", args.access.program),
        update: commandLine("replicaSetup", args.access.program),
        delete: commandLine("replicaDrop", args.access.program),
        environment: replicaEnvironment(args.access, { replicaUrl: url, sourceUrl: args.sourceUrl, replica }),
        // Another server, or another name, is another link: the former one's slot goes first.
        triggers: [this.address, replica.name],
        addPreviousOutputInEnv: false,
      },
      {
        parent: this,
        deleteBeforeReplace: true,
        dependsOn: this.server === undefined ? [] : [this.server],
        customTimeouts: { create: timeout, update: timeout, delete: "30m" },
      },
    );
    this.databaseUrl = pulumi.secret(pulumi.all([url, this.link.id]).apply(([text]) => text));
    this.registerOutputs({ address: this.address });
  }

  private create(name: string, { region, ...args }: CreatedReplicaArgs): ReplicaServer {
    if (region === undefined) return new ReplicaServer(name, args, { parent: this });
    const profile = new pulumi.Config("aws").get("profile");
    const provider = new aws.Provider(
      `${name}-region`,
      { region, ...(profile === undefined ? {} : { profile }) },
      { parent: this },
    );
    return new ReplicaServer(name, args, { parent: this, provider });
  }
}

function addressOf(name: string, url: string): string {
  try {
    const { host, pathname } = new URL(url);
    return `${host}${pathname}`;
  } catch {
    throw new pulumi.RunError(
      `${name}: found a databaseUrl that is no URL: expected postgres://user:password@host/database`,
    );
  }
}
