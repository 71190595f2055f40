const { test } = require("node:test");

test("is never resolved", () => new Promise(() => {}));
