const assert = require("node:assert");
const { spawnSync } = require("node:child_process");
const { after, afterEach, before, beforeEach, describe, it, test } = require("node:test");

let list = [];
beforeEach(() => (list = [1]));

test("holds", () => assert.deepEqual(list, [1]));
test("fails", () => assert.equal(1, 2, "numbers"));
test("throws", async () => {
  throw new TypeError("bad äöü ☃");
});
test("is skipped", { skip: "not today" }, () => {});
test("is skipped without a reason", { skip: true }, () => {});
test("is to be done and fails", { todo: "later" }, () => assert.fail());
test("is to be done and holds", { todo: true }, () => {});
test("ünïcode ☃ # 1", () => assert.equal(process.env.SKEP_FILE, "test/life.test.js"));
test("is the main script", () => assert.equal(require.main, module));
test("starts node", () => {
  const ended = spawnSync(process.execPath, [...process.execArgv, "-e", "process.exit(3)"]);
  assert.equal(ended.status, 3);
});
test("callback", (t, done) => setImmediate(done));

test("parent", async (t) => {
  await t.test("child holds", () => {});
  await t.test("child fails", () => assert.fail("child"));
  await t.test("deep", async (t) => {
    await t.test("deepest", () => {});
  });
});

test("fails after its children", async (t) => {
  await t.test("child holds", () => {});
  assert.fail("by itself");
});

describe("suite", () => {
  let all;
  before(() => (all = 1));
  it("holds", () => assert.equal(all, 1));
  describe("inner", () => {
    it("holds too", () => {});
    it("holds too", () => {});
  });
});

describe("empty suite", () => {});

describe("broken before", () => {
  before(() => assert.fail("before broke"));
  it("never", () => {});
});

describe("broken after", () => {
  after(() => assert.fail("after broke"));
  it("holds", () => {});
});

describe("broken after each", () => {
  afterEach(() => assert.fail("after each broke"));
  it("errs", () => {});
});
