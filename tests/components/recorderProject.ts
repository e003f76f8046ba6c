/** A throwaway copy of this Pulumi project whose operational program only writes down how it was called. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";

const root = path.resolve(__dirname, "../..");

export interface RecordedCall {
  readonly words: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface RecorderAnswers {
  /** By the command's words; default 0. */
  readonly exitCodes?: Readonly<Record<string, number>>;
  /** This command works until it is told to stop: `hanging` holds its process id, `cleaned-up` is there when it has ended. */
  readonly hangs?: string;
  /** Digest of the one variable that `env:snapshot` reports. */
  readonly digest?: string;
  readonly baseline?: string | null;
}

export class RecorderProject {
  readonly folder = mkdtempSync(path.join(tmpdir(), "dbprotect-program-"));
  readonly stateDir = path.join(this.folder, "state");
  /** Shell words that start the recorder from any folder. */
  readonly program = `node ${path.join(this.folder, "bin", "dbprotect.js")}`;

  constructor() {
    for (const part of ["index.ts", "components", "Pulumi.yaml", "package.json", "tsconfig.json"]) this.copy(part);
    for (const part of [
      "scripts/settings.ts",
      "scripts/thresholds.ts",
      "scripts/notices.ts",
      "scripts/contract",
      "scripts/commands/session.ts",
    ])
      this.copy(part);
    symlinkSync(path.join(root, "node_modules"), path.join(this.folder, "node_modules"));
    mkdirSync(path.join(this.folder, "bin"));
    cpSync(path.join(__dirname, "recorder", "dbprotect.js"), path.join(this.folder, "bin", "dbprotect.js"));
  }

  answer(answers: RecorderAnswers): void {
    writeFileSync(path.join(this.folder, "recorder.json"), JSON.stringify(answers));
  }

  /** The calls since the last time this was asked. */
  takeCalls(): RecordedCall[] {
    const file = path.join(this.folder, "calls.ndjson");
    if (!existsSync(file)) return [];
    const lines = readFileSync(file, "utf8").trim().split("\n");
    rmSync(file);
    return lines.map((line) => JSON.parse(line) as RecordedCall);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  private copy(part: string): void {
    cpSync(path.join(root, part), path.join(this.folder, part), { recursive: true });
  }
}
