const { test } = require("node:test");

test("a", () => {});
test("b", () => process.exit(7));
test("c", () => {});
