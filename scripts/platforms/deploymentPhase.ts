/** What a deployment's state says, whatever the platform calls it. */

/**
 * `live`; `passing`: it goes on by itself; `waiting`: for a person; `ended`: it will never be live again by itself;
 * `unknown`: a state that the platform did not have when this was written.
 */
export type DeploymentPhase = "live" | "passing" | "waiting" | "ended" | "unknown";
