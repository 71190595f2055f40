const { test } = require("node:test");

test("is loud", () => {
  for (let i = 0; i < 50_000; i += 1) console.log("x".repeat(99));
});
