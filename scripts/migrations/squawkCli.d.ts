/** What squawk-cli's own starter exports; it ships no types. */
declare module "squawk-cli/js/index.js" {
  /** The binary of this platform's package. Throws where that is not installed. */
  export function getBinaryPath(): string;
}
