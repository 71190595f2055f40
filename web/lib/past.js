// What the job before says of a failure: whether it passed then, was not there, or failed too. Pure.

/**
 * The id of the job before `row` among others, newest first, which ran their files to the end. Of a job that runs another again
 * it is that one; else what ran one again is left out, since it may have been for some files only. Null if none is there.
 * @param {import('../types').Job[]} jobs
 * @param {{ id: string, submitted: number, rerun_of: string | null }} row
 */
export function lastOf(jobs, row) {
  if (row.rerun_of) return row.rerun_of;
  const before = jobs.find((job) => job.id !== row.id && job.submitted <= row.submitted && !job.rerun_of && job.files_total > 0);
  return before?.id ?? null;
}

/** One key of a file, or of a case of it. */
const key = (path, name) => JSON.stringify([path, name ?? '']);

/** The failures of a comparison that were none in the other job: whether they passed there, by file and case. */
export function newOnes({ new_failures: list }) {
  return new Map(list.map(({ path, name, with_num: num }) => [key(path, name), num == null ? 'absent' : 'passed']));
}

/** How a failure was in the job before: `passed`, `absent`, `bad`; null if that is not known. */
export function isNew(past, path, name) {
  if (!past) return null;
  return past.fresh.get(key(path, name)) ?? past.fresh.get(key(path)) ?? 'bad';
}
