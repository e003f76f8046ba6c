/** Parents before children: the order in which rows can be put back. Pure. */

/**
 * Sorts into groups: whatever `parentsOf` an item names lies in an earlier group or in its own. Items that need each
 * other (a cycle of foreign keys) share a group, every other item has one to itself. Tarjan's algorithm, which finds
 * strongly connected components in exactly this order.
 *
 * @param parentsOf only items of `items`; an item may name itself.
 */
export function parentsFirst<T>(items: readonly T[], parentsOf: (item: T) => readonly T[]): T[][] {
  const numbers = new Map<T, number>();
  const lowest = new Map<T, number>();
  const open: T[] = [];
  const groups: T[][] = [];

  const visit = (item: T): void => {
    const number = numbers.size;
    numbers.set(item, number);
    lowest.set(item, number);
    open.push(item);
    for (const parent of parentsOf(item)) {
      if (!numbers.has(parent)) visit(parent);
      if (open.includes(parent)) lowest.set(item, Math.min(lowest.get(item)!, lowest.get(parent)!));
    }
    if (lowest.get(item) === number) groups.push(open.splice(open.indexOf(item)));
  };
  for (const item of items) if (!numbers.has(item)) visit(item);
  return groups;
}
