/** What goes wrong with a platform's API, on demand: the fakes answer with it instead of with what they know. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Answer, Call } from "../loopbackServer";

export type Fault =
  /** An HTTP status with the platform's own form of an error. */
  | { readonly kind: "status"; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  /** An answer that stops in the middle of its JSON. */
  | { readonly kind: "truncated" }
  /** No answer at all. */
  | { readonly kind: "timeout" }
  /** The right answer, this much later. */
  | { readonly kind: "slow"; readonly milliseconds: number }
  /** The request is carried out, and its answer lost. */
  | { readonly kind: "lost answer" };

interface PlannedFault {
  readonly fault: Fault;
  readonly applies: (call: Call) => boolean;
  times: number;
}

export class Faults {
  readonly #planned: PlannedFault[] = [];

  /** @param error the platform's form of an error with that status. */
  constructor(private readonly error: (status: number) => unknown) {}

  /** The next `times` requests that it applies to fail so. Default: the very next request. */
  plan(fault: Fault, times = 1, applies: (call: Call) => boolean = () => true): void {
    this.#planned.push({ fault, times, applies });
  }

  /** Whatever was planned and has not happened will not. */
  end(): void {
    this.#planned.length = 0;
  }

  async answer(call: Call, respond: () => Promise<Answer>): Promise<Answer> {
    const planned = this.#planned.find(({ times, applies }) => times > 0 && applies(call));
    if (planned === undefined) return respond();
    planned.times--;
    const { fault } = planned;
    switch (fault.kind) {
      case "status":
        return {
          status: fault.status,
          ...(fault.headers === undefined ? {} : { headers: fault.headers }),
          body: this.error(fault.status),
        };
      case "truncated": {
        const { status, body } = await respond();
        const text = JSON.stringify(body);
        return { status, headers: { "content-type": "application/json" }, body: text.slice(0, text.length / 2) };
      }
      case "timeout":
        return new Promise(() => undefined);
      case "slow":
        await sleep(fault.milliseconds);
        return respond();
      case "lost answer":
        await respond();
        return { status: 502, headers: { "content-type": "text/plain" }, body: "Bad Gateway" };
    }
  }
}
