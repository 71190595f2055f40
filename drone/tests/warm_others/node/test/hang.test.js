const { test } = require("node:test");

test("hangs", () => new Promise(() => setInterval(() => {}, 1000)));
