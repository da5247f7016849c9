// Paths come from labels files, manifests and study files; none may lead out of the data folder.

/** Whether a path is absolute (also by Windows’ rules) or has a step `..`. */
export function leadsOut(path: string): boolean {
  return /^([/\\]|[A-Za-z]:)/.test(path) || path.split(/[/\\]/).includes('..');
}
