const { test } = require("node:test");

test("a", () => {
  setTimeout(() => {
    throw new Error("too late");
  }, 20);
});
