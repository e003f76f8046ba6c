/** Prometheus's text format, version 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats), as far as samples go. */
import { Unavailable } from "../contract/failure";

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const line = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?\d+)?$/;
const label = /\s*([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\.)*)"\s*(,|$)/y;

/**
 * Comments, help and types are left out.
 *
 * @param where names the endpoint in messages.
 * @throws Unavailable for a line that is none of the format: half an answer must not pass for few requests.
 */
export function parsePrometheusText(text: string, where: string): Sample[] {
  const samples: Sample[] = [];
  for (const [index, raw] of text.split("\n").entries()) {
    const content = raw.trim();
    if (content === "" || content.startsWith("#")) continue;
    const [, name, labels = "", number = ""] = line.exec(content) ?? [];
    const value = numberOf(number);
    const parsed = parseLabels(labels);
    if (name === undefined || value === undefined || parsed === undefined)
      throw new Unavailable(`${where}: line ${index + 1} is not of Prometheus's text format`);
    samples.push({ name, labels: parsed, value });
  }
  return samples;
}

function numberOf(text: string): number | undefined {
  if (/^[+-]?Inf$/i.test(text)) return text.startsWith("-") ? -Infinity : Infinity;
  if (/^NaN$/i.test(text)) return NaN;
  const value = Number(text);
  return text === "" || Number.isNaN(value) ? undefined : value;
}

/** Undefined: they are not of the format. A comma may stand after the last one. */
function parseLabels(text: string): Record<string, string> | undefined {
  const labels: Record<string, string> = {};
  label.lastIndex = 0;
  while (text.slice(label.lastIndex).trim() !== "") {
    const match = label.exec(text);
    if (match === null) return undefined;
    const [, name = "", value = ""] = match;
    labels[name] = value.replace(/\\(.)/g, (_, character: string) => (character === "n" ? "\n" : character));
  }
  return labels;
}

/** The sum of the samples of a name, of those that `matches`; undefined where there is none. */
export function sumOf(
  samples: readonly Sample[],
  name: string,
  matches: (labels: Sample["labels"]) => boolean = () => true,
): number | undefined {
  const values = samples.filter((sample) => sample.name === name && matches(sample.labels));
  return values.length === 0 ? undefined : values.reduce((sum, { value }) => sum + value, 0);
}
