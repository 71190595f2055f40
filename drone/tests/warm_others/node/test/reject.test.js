const { test } = require("node:test");

test("a", () => {});
test("rejects", async () => {
  Promise.reject(new Error("nobody catches this"));
  await new Promise((done) => setTimeout(done, 10));
});
