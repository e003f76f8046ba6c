/** Where the scheduled tasks run: the subnets that are named, or those of the default VPC; out to HTTPS and the database only. */
import * as ec2 from "@pulumi/aws/ec2";
import * as pulumi from "@pulumi/pulumi";

export interface TaskNetworkArgs {
  /** Defaults to the default VPC. Plain: decides whether it is looked up. */
  readonly vpcId?: pulumi.Input<string> | undefined;
  /** Subnets of that VPC, which must be given with it. Defaults to those of the default VPC. */
  readonly subnetIds?: pulumi.Input<pulumi.Input<string>[]> | undefined;
  /** Whether tasks get a public address, without which they need a NAT gateway. Defaults to true in the default VPC only. */
  readonly assignPublicIp?: boolean | undefined;
}

export interface TaskNetwork {
  readonly vpcId: pulumi.Output<string>;
  readonly subnetIds: pulumi.Output<string[]>;
  readonly assignPublicIp: boolean;
}

/** @throws pulumi.RunError where only one of VPC and subnets is given. */
export function taskNetwork(name: string, args: TaskNetworkArgs, parent: pulumi.Resource): TaskNetwork {
  if ((args.vpcId === undefined) !== (args.subnetIds === undefined))
    throw new pulumi.RunError(
      `${name}: found one of vpcId and subnetIds: expected both or neither: give the other, or leave both out for the default VPC`,
    );
  const vpcId =
    args.vpcId === undefined ? ec2.getVpcOutput({ default: true }, { parent }).id : pulumi.output(args.vpcId);
  const subnetIds =
    args.subnetIds === undefined
      ? ec2.getSubnetsOutput({ filters: [{ name: "vpc-id", values: [vpcId] }] }, { parent }).ids
      : pulumi.output(args.subnetIds);
  return { vpcId, subnetIds, assignPublicIp: args.assignPublicIp ?? args.vpcId === undefined };
}

/** Nobody reaches a task. It reaches AWS and the registry (443), and the databases. */
export function taskSecurityGroup(
  name: string,
  vpcId: pulumi.Input<string>,
  databasePorts: readonly number[],
  opts: pulumi.CustomResourceOptions,
): ec2.SecurityGroup {
  const ports = [...new Set([443, ...databasePorts])];
  return new ec2.SecurityGroup(
    name,
    {
      vpcId,
      description: "Scheduled tasks: out to HTTPS and databases, nothing in",
      ingress: [],
      egress: ports.map((port) => ({
        description: port === 443 ? "HTTPS" : "PostgreSQL",
        protocol: "tcp",
        fromPort: port,
        toPort: port,
        cidrBlocks: ["0.0.0.0/0"],
        ipv6CidrBlocks: ["::/0"],
      })),
    },
    opts,
  );
}
