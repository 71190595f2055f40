// Numbers, times and names as people read them. Pure: `now` is passed in, nothing is looked up.

/** Milliseconds as `80 ms`, `1.2 s`, `38 s`, `3:05 min`, `2:05 h`. */
export function duration(ms) {
  if (ms == null || Number.isNaN(ms)) return '–';
  if (ms < 0) return '0 ms';
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}:${two(seconds % 60)} min`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)} h`;
}

/** How long ago, in one unit: `just now`, `4 min ago`, `2 days ago`. */
export function ago(then, now) {
  if (then == null) return '';
  const seconds = Math.round((now - then) / 1000);
  if (seconds < 5) return 'just now';
  if (seconds < 60) return `${seconds} s ago`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min ago`;
  const hours = Math.round(minutes / 60);
  if (hours < 24) return `${hours} h ago`;
  const days = Math.round(hours / 24);
  return days === 1 ? '1 day ago' : `${days} days ago`;
}

const two = (n) => String(n).padStart(2, '0');

/** The time of day, `14:03`. By hand: a browser takes longer to load what it knows of languages than a page to stand. */
export function clock(ms) {
  const date = new Date(ms);
  return `${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** Date and time in full, for titles: `2026-03-01 14:03:07`. */
export function moment(ms) {
  if (ms == null) return '';
  const date = new Date(ms);
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  return `${day} ${clock(ms)}:${two(date.getSeconds())}`;
}

/** Bytes as `640 B`, `12 kB`, `1.5 MB`. */
export function bytes(count) {
  if (count == null) return '–';
  let rest = count;
  for (const unit of ['B', 'kB', 'MB', 'GB']) {
    if (rest < 1000 || unit === 'GB') {
      return `${unit === 'B' || rest >= 10 ? Math.round(rest) : rest.toFixed(1)} ${unit}`;
    }
    rest /= 1000;
  }
  return '';
}

/** A whole number with thousands set apart. */
export function number(count) {
  return Math.round(count)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',');
}

/** `1 file`, `2 files`. */
export function plural(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

/** A commit as lists show it. */
export function shortCommit(id) {
  return id ? id.slice(0, 7) : '';
}

/** An id as lists show it: the random end of a UUID, others whole. */
export function shortId(id) {
  return /^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(id) ? id.slice(-8) : id;
}

/** `main@3f2a91c`, whatever of it is known. */
export function refOf(job) {
  const commit = shortCommit(job.commit);
  if (job.branch && commit) return `${job.branch}@${commit}`;
  return job.branch ?? commit ?? '';
}

/** Who caused the job. */
export function authorOf(job) {
  const author = job.trigger?.author;
  return author?.name ?? author?.username ?? author?.email ?? job.user_id ?? '';
}

/** The first line of the job's message. */
export function titleOf(job) {
  return (job.trigger?.message ?? '').split('\n', 1)[0];
}
