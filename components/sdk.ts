/**
 * What this project knows of Pulumi's SDK beyond its typings. Everything that relies on it goes through here,
 * so that an SDK that changes breaks in one place, loudly.
 */
import * as pulumi from "@pulumi/pulumi";

/**
 * `output`, or `fallback` while the engine does not know it yet (a preview before the resource exists).
 * An `apply` alone would be skipped then, and with it everything that could have been checked all the same.
 */
export function knownOr(output: pulumi.Output<string>, fallback: string): pulumi.Output<string> {
  const { isKnown } = output as unknown as { readonly isKnown?: Promise<boolean> };
  if (isKnown === undefined) throw new Error("@pulumi/pulumi no longer says whether an Output is known");
  return pulumi.output(isKnown).apply((known) => (known ? output : pulumi.output(fallback)));
}

/** Whether `key` (`namespace:name`) was set with `pulumi config set --secret`. */
export function isConfigSecret(key: string): boolean {
  const runtime = pulumi.runtime as unknown as { readonly isConfigSecret?: (key: string) => boolean };
  if (runtime.isConfigSecret === undefined) throw new Error("@pulumi/pulumi no longer says which config is secret");
  return runtime.isConfigSecret(key);
}

/**
 * The error that ends the program with exactly this line. While a rejection travels through resources, the SDK
 * puts "error serializing property …" in front of the message of the very same object; this one keeps its own.
 */
export function halt(line: string): pulumi.RunError {
  const message = line.replace(/\s+/g, " ").trim();
  return Object.defineProperty(new pulumi.RunError(message), "message", { get: () => message, set: () => undefined });
}
