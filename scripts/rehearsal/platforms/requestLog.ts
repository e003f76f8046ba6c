/** Every request that reached a fake, in order: the proof that a halted release deployed nothing. */

export interface LoggedRequest {
  /** UTC, ISO 8601. */
  readonly at: string;
  readonly platform: "railway" | "vercel";
  /** Railway: the root field (`serviceInstanceDeployV2`); Vercel: method and path. */
  readonly call: string;
  /** Whether it asks for a deployment, accepted or not. */
  readonly deploys: boolean;
  /** What it was answered: the HTTP status, or `refused` for a GraphQL error inside a 200. */
  readonly answer: number | "refused";
}

export class RequestLog {
  readonly requests: LoggedRequest[] = [];

  add(request: Omit<LoggedRequest, "at">): void {
    this.requests.push({ at: new Date().toISOString(), ...request });
  }

  /** The requests for a deployment since the log held `mark` entries. */
  deploysSince(mark: number): LoggedRequest[] {
    return this.requests.slice(mark).filter(({ deploys }) => deploys);
  }
}
