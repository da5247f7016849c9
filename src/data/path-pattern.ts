// Finds the patient or case in a record's path by a pattern that anyone can read: `*` is any text, {group} any text without a slash.

const wildcard = /\*|\{group\}/;

/**
 * The text of {group} where `pattern` fits the whole of `path`, else null. From the left, each wildcard takes as little as it can, the
 * last one all that remains before the pattern's end. Time is linear in the path.
 */
export function groupOfPath(pattern: string, path: string): string | null {
  const texts = pattern.split(wildcard);
  const wildcards = pattern.match(new RegExp(wildcard, 'g')) ?? [];
  const first = texts[0]!;
  if (!path.startsWith(first)) return null;
  let at = first.length;
  let group: string | null = null;
  for (let index = 0; index < wildcards.length; index++) {
    const text = texts[index + 1]!;
    const isLast = index === wildcards.length - 1;
    const end = isLast ? path.length - text.length : path.indexOf(text, at + 1);
    if (end < at || (isLast && !path.endsWith(text))) return null;
    if (wildcards[index] === '{group}') group = path.slice(at, end);
    at = end + text.length;
  }
  return group === null || group === '' || group.includes('/') ? null : group;
}
