const { test } = require("node:test");

test("a", () => {});
test("kills", () => {
  process.kill(process.pid, "SIGKILL");
  return new Promise(() => setInterval(() => {}, 1000));
});
