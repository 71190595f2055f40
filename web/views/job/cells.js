// A job's files as a honeycomb: one cell a file, colour and sign by outcome, shade by how long it took.

import { HoneycombMap } from '../../components/honeycomb-map.js';
import { html, useMemo } from '../../components/html.js';
import { duration, plural } from '../../lib/format.js';
import { address, jobPath } from '../../lib/router.js';

/** How a file stands, in one word. */
export const stateOf = (file) => (file.state === 'done' ? file.outcome : file.state);
/** The log of a file's last run. */
export const logOf = (id, file, more = {}) => address(jobPath(id), { tab: 'log', cmd: file.num, ...more });

export function Cells({ ctx, id, job }) {
  const cells = useMemo(() => {
    let longest = 1;
    for (const { result } of job.files.values()) longest = Math.max(longest, result?.duration ?? 0);
    return Array.from(job.files.values(), (file) => ({
      state: stateOf(file),
      weight: file.result ? Math.sqrt(file.result.duration / longest) : 1,
      get title() {
        const took = file.result && duration(file.result.duration);
        return [file.path, stateOf(file), took, file.drone && `on ${ctx.droneName(file.drone)}`, file.quarantined && 'under quarantine']
          .filter(Boolean)
          .join(' · ');
      },
      href: file.num == null ? null : logOf(id, file),
    }));
  }, [job.filesVersion]);
  if (!cells.length) return null;
  return html`<${HoneycombMap} cells=${cells} version=${job.filesVersion} label=${`${plural(cells.length, 'test file')}, one cell each`}
    open=${ctx.go} />`;
}
