/**
 * Generated parts of pages that people write: `<!-- generated: <name> -->` … `<!-- /generated -->`. What stands between
 * the two is replaced; everything else stays as it was written.
 */

const region = /<!-- generated: (.+?) -->\n[\s\S]*?<!-- \/generated -->/g;

/** The names of a page's generated parts, in their order. */
export function regionNames(page: string): string[] {
  return [...page.matchAll(region)].map(([, name]) => name ?? "");
}

/** @param contentOf Markdown for a name. @throws what it throws for a name that it does not know. */
export function fillRegions(page: string, contentOf: (name: string) => string): string {
  return page.replace(
    region,
    (_, name: string) => `<!-- generated: ${name} -->\n\n${contentOf(name)}\n\n<!-- /generated -->`,
  );
}
