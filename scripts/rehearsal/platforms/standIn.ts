/** What the stand-ins for the platforms' CLIs share. */

/** How often they look at a deployment; the CLIs do it every second or two, our fakes are faster. */
export const pollMilliseconds = 40;

export function required(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === "") throw new Error(`${name}: found nothing: expected a value`);
  return value;
}
