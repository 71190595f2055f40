// The fields of the form as job data. Pure; `now` is passed in.

/**
 * Job data of the contract from the form's texts; what was left empty is left out.
 * @param {Record<string, any>} fields
 * @param {number} now milliseconds
 * @param {string} [id] under which it is taken once
 */
export function jobOf(fields, now, id) {
  const text = (name) => (fields[name] ?? '').trim();
  /** @type {Record<string, any>} */
  const job = {
    project: text('project'),
    job_type: text('job_type') || 'TEST',
    trigger: { type: 'manual', message: text('message'), timestamp: now, source: { type: 'UI', page: '/new' } },
  };
  if (id) job.job_id = id;
  if (text('url')) {
    job.repo = { url: text('url') };
    if (fields.password) job.repo.auth = { type: 'https', username: text('username'), password: fields.password };
  }
  /** @type {Record<string, string>} */
  const reference = {};
  if (text('branch')) reference.branch = text('branch');
  if (text('commit')) reference.id = text('commit').toLowerCase();
  if (Object.keys(reference).length) job.ref = reference;
  const labels = text('labels')
    .split(/[\s,]+/)
    .filter(Boolean);
  if (labels.length) job.labels = labels;
  for (const name of ['spread', 'priority', 'retries', 'timeout']) if (text(name)) job[name] = Number(text(name));
  return job;
}
