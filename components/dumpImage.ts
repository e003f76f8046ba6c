/**
 * The container of the scheduled tasks, built from this project's Dockerfile where `pulumi up` runs, which needs Docker
 * there, and kept in a registry of one's own. Whoever has an image gives its name to the schedule instead.
 */
import * as path from "node:path";
import * as ecr from "@pulumi/aws/ecr";
import * as docker from "@pulumi/docker-build";
import * as pulumi from "@pulumi/pulumi";

export interface DumpImageArgs {
  /** Majors of PostgreSQL that the image holds, for a backup is restored on its own. Defaults to 14 to 18. Plain. */
  readonly postgresMajors?: readonly number[] | undefined;
  /**
   * Extensions of the databases, as packages of PostgreSQL's repository name them: `pgvector`, `cron`, `postgis-3`.
   * Without them a restore cannot be proven. Defaults to none. Plain.
   */
  readonly postgresExtensions?: readonly string[] | undefined;
  /**
   * The base image by digest, `node:24.21.0-bookworm-slim@sha256:…`: what a registry serves under a version may be rebuilt.
   * Defaults to the Dockerfile's exact version, without a digest. Plain.
   */
  readonly nodeImage?: string | undefined;
  /** Folder of this project's sources. Defaults to where these components are. Plain. */
  readonly context?: string | undefined;
}

/** Images that nothing names any more and that are kept all the same: task definitions name theirs by digest. */
const untaggedImages = 20;

export class DumpImage extends pulumi.ComponentResource {
  /** `registry/repository@sha256:…`: a task runs exactly what was built. */
  readonly ref: pulumi.Output<string>;
  readonly repository: ecr.Repository;

  constructor(name: string, args: DumpImageArgs = {}, opts?: pulumi.ComponentResourceOptions) {
    demandNames(name, args);
    super("database-protection:index:DumpImage", name, {}, opts);
    const child = { parent: this };
    this.repository = new ecr.Repository(
      `${name}-repository`,
      {
        encryptionConfigurations: [{ encryptionType: "KMS" }],
        imageScanningConfiguration: { scanOnPush: true },
        // The tag is the cache's; nothing runs by it.
        imageTagMutability: "MUTABLE",
      },
      child,
    );
    new ecr.LifecyclePolicy(
      `${name}-repository`,
      {
        repository: this.repository.name,
        policy: pulumi.jsonStringify({
          rules: [
            {
              rulePriority: 1,
              description: "images of earlier builds",
              selection: { tagStatus: "untagged", countType: "imageCountMoreThan", countNumber: untaggedImages },
              action: { type: "expire" },
            },
          ],
        }),
      },
      child,
    );
    const { userName, password } = ecr.getAuthorizationTokenOutput(
      { registryId: this.repository.registryId },
      { parent: this },
    );
    const tag = pulumi.interpolate`${this.repository.repositoryUrl}:current`;
    const image = new docker.Image(
      `${name}-image`,
      {
        // Relative to the project's folder, so that the state is the same on every machine.
        context: { location: contextFolder(args.context) },
        buildArgs: {
          ...(args.nodeImage === undefined ? {} : { NODE_IMAGE: args.nodeImage }),
          POSTGRES_MAJORS: (args.postgresMajors ?? [14, 15, 16, 17, 18]).join(" "),
          POSTGRES_EXTENSIONS: (args.postgresExtensions ?? []).join(" "),
        },
        // What Fargate runs where a task definition names no other.
        platforms: [docker.Platform.Linux_amd64],
        tags: [tag],
        push: true,
        // A preview looks only.
        buildOnPreview: false,
        cacheFrom: [{ registry: { ref: tag } }],
        cacheTo: [{ inline: {} }],
        registries: [{ address: this.repository.repositoryUrl, username: userName, password: pulumi.secret(password) }],
      },
      child,
    );
    this.ref = image.ref;
    this.registerOutputs({ ref: this.ref });
  }
}

function contextFolder(context: string | undefined): string {
  const relative = path.relative(process.cwd(), context ?? path.resolve(__dirname, ".."));
  return relative === "" ? "." : relative.split(path.sep).join("/");
}

/** They become part of a command in the image. */
function demandNames(name: string, args: DumpImageArgs): void {
  const { nodeImage, postgresMajors = [], postgresExtensions = [] } = args;
  if (nodeImage !== undefined && !/^[\w./:-]+@sha256:[0-9a-f]{64}$/.test(nodeImage))
    throw new pulumi.RunError(
      `${name}: found the base image ${JSON.stringify(nodeImage)}: expected it by digest: node:24.21.0-bookworm-slim@sha256:…`,
    );
  const major = postgresMajors.find((each) => !Number.isInteger(each) || each < 14 || each > 18);
  if (major !== undefined) throw new pulumi.RunError(`${name}: found PostgreSQL ${major}: expected 14 to 18`);
  const extension = postgresExtensions.find((each) => !/^[a-z0-9][a-z0-9.+-]*$/.test(each));
  if (extension !== undefined)
    throw new pulumi.RunError(
      `${name}: found the extension ${JSON.stringify(extension)}: expected the end of a package's name, such as pgvector`,
    );
}
