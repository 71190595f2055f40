// What no schedule could beat. Pure.

/**
 * Milliseconds that no schedule of these runs on these slots could beat: all work spread evenly over all speeds, or the longest run
 * on the fastest drone. `speedOf(drone)`: 100 is the reference.
 */
export function bound({ lanes }, speedOf, now) {
  let work = 0;
  let longest = 0;
  let speeds = 0;
  let fastest = 0;
  for (const { drone, runs } of lanes.values()) {
    const speed = Math.max(1, speedOf(drone));
    speeds += speed;
    fastest = Math.max(fastest, speed);
    for (const run of runs) {
      const own = ((run.to ?? now) - run.from) * speed;
      work += own;
      longest = Math.max(longest, own);
    }
  }
  return speeds ? Math.max(work / speeds, longest / fastest) : null;
}
