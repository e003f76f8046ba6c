/** Child process of the S3 server's test: starts one, prints its endpoint, then waits to be killed. */
import { startSeaweed } from "../../servers/seaweedfs";

void startSeaweed().then(({ endpoint }) => {
  process.stdout.write(`${endpoint}\n`);
  setInterval(() => undefined, 60_000);
});
