// A list of jobs, newest first, of which pages come by and by: the newest page again and again, older ones as one scrolls.
// Pure: the same pages in the same order give the same list.

/** @typedef {import('../types').Job} Job */

/**
 * `next` is the cursor of the page after the last job; null when there is none.
 * @returns {{ jobs: Job[], next: string | null, known: boolean }} `known` is false until a first page came
 */
export function emptyJobList() {
  return { jobs: [], next: null, known: false };
}

/** Below zero if `a` stands above `b`: the newer first, then the greater id. */
function order(a, b) {
  return b.submitted - a.submitted || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0);
}

/**
 * The list after its newest page was asked for again. Where that page ends, what was known goes on; but if the page has
 * nothing that was known, more happened meanwhile than it tells, and the list begins anew with it. A page that ends early,
 * because a text is hard to find, does not tell where it ends: what was known and what was searched stays.
 * @param {ReturnType<typeof emptyJobList>} list
 * @param {import('../types').JobPage} page
 * @param {boolean} [early] the page has fewer jobs than it may have, and was asked for shortly after the one before
 */
export function withNewest(list, page, early = false) {
  const next = page.next ?? null;
  const last = page.jobs.at(-1);
  if (early && next !== null && list.known) {
    const newest = new Set(page.jobs.map((job) => job.id));
    const jobs = [...page.jobs, ...list.jobs.filter((job) => !newest.has(job.id))];
    return { jobs: jobs.sort(order), next: list.next, known: true };
  }
  const known = new Set(list.jobs.map((job) => job.id));
  if (!last || next === null || !page.jobs.some((job) => known.has(job.id))) return { jobs: page.jobs, next, known: true };
  const older = list.jobs.filter((job) => order(last, job) < 0);
  return { jobs: [...page.jobs, ...older], next: older.length ? list.next : next, known: true };
}

/**
 * The list with one more page of older jobs; unchanged if the page is not the one after its end.
 * @param {ReturnType<typeof emptyJobList>} list
 * @param {import('../types').JobPage} page
 * @param {string} before the cursor that the page was asked for with
 */
export function withOlder(list, page, before) {
  if (list.next !== before) return list;
  const last = list.jobs.at(-1);
  const older = last ? page.jobs.filter((job) => order(last, job) < 0) : page.jobs;
  return { jobs: list.jobs.concat(older), next: page.next ?? null, known: true };
}

/** How many jobs of `list` stand above the job `id`; 0 if it is not there. */
export function above(list, id) {
  return Math.max(
    0,
    list.jobs.findIndex((job) => job.id === id),
  );
}

/**
 * Which rows are in sight, with some more on each side: `[first, end)`.
 * @param {{ top: number, view: number, height: number, count: number, more?: number }} where pixels from the list's top to
 *   what is in sight, how much that is, a row's height, how many rows there are, and how many more are drawn on each side
 */
export function inSight({ top, view, height, count, more = 8 }) {
  const first = Math.min(Math.max(0, Math.floor(top / height) - more), Math.max(0, count - 1));
  const end = Math.min(count, Math.max(first, Math.ceil((top + view) / height) + more));
  return [first, end];
}
