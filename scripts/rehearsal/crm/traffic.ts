/** People who go on working while a release runs: clients are added through the API, one after the other. */
import { setTimeout as sleep } from "node:timers/promises";

export interface Traffic {
  /** Ends it. Resolves to how many clients were added. */
  end(): Promise<number>;
}

const pauseMilliseconds = 150;

/** A request that fails (a version is being switched) is not counted and not repeated. */
export function startTraffic(apiUrl: string): Traffic {
  let ended = false;
  let added = 0;
  const work = async (): Promise<void> => {
    for (let number = 1; !ended; number++) {
      const body = JSON.stringify({ name: `Visitor ${number}`, email: `visitor${number}@example.net` });
      const response = await fetch(`${apiUrl}/api/crm/clients`, { method: "POST", body }).catch(() => undefined);
      if (response?.status === 201) added++;
      await sleep(pauseMilliseconds);
    }
  };
  const working = work();
  return {
    end: async () => {
      ended = true;
      await working;
      return added;
    },
  };
}
