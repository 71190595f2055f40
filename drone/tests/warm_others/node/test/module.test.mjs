import assert from "node:assert";
import { test } from "node:test";

await 0;
test("of a module", () => assert.match(import.meta.url, /module\.test\.mjs$/));
setTimeout(() => test("later", () => {}), 20);
