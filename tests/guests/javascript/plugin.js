// A small plug-in with all roles for the tests of crates/plugin-host. It is good unless a product's id is the name of one of the
// `violations` below. The tests use it as built: crates/plugin-host/tests/fixtures/contract-0.1.0/javascript.wasm.zst; README.md
// there says how to build it.

export const manifest = {
  describe: () => ({
    name: "javascript",
    version: "0.1.0",
    platform: "test",
    grouping: { tag: "whole-lines" },
    configSchema: "{}",
    versionFields: ["updated_at"],
  }),
  configure(text) {
    if (JSON.parse(text).refuse) throw { code: "refused", message: "the configuration asks to be refused" };
  },
};

export const transform = {
  run(products) {
    const made = { documents: [], counts: [], removals: [], issues: [] };
    products.forEach((text, item) => {
      const { id, ...fields } = JSON.parse(text);
      const document = { id, fields: JSON.stringify(fields) };
      made.documents.push(violations[id]?.(document, made) ?? document);
      made.counts.push(1);
      if (!fields.title) {
        made.issues.push({ item, severity: "warning", code: "no-title", message: "It has no title.", path: "/title" });
      }
    });
    return made;
  },
};

export const validate = {
  run: (documents) =>
    documents.flatMap(({ id }, item) =>
      id === "bad" ? [{ item, severity: "error", code: "bad", message: "It is bad." }] : [],
    ),
};

export const version = {
  compare: (pairs) =>
    pairs.map((pair) => {
      const [incoming, stored] = [pair.incoming, pair.stored].map((text) => JSON.parse(text).updated_at);
      return incoming > stored ? "newer" : incoming < stored ? "older" : "same";
    }),
};

const violations = {
  loop() {
    for (;;);
  },
  memory() {
    for (const held = []; ; ) held.push(new Uint8Array(1 << 20).fill(1));
  },
  strings() {
    for (let text = "x"; ; ) text += text;
  },
  recursion() {
    const deeper = (depth) => deeper(depth + 1) + depth;
    return deeper(0);
  },
  throws() {
    throw new Error("the plug-in fell over");
  },
  regex() {
    return /^(a+)+$/.test("a".repeat(40) + "!");
  },
  "no-fields": ({ id }) => ({ id }),
  "number-id": ({ fields }) => ({ id: 7, fields }),
  "object-fields": ({ id }) => ({ id, fields: { title: "not text" } }),
  "lone-surrogate": ({ id }) => ({ id, fields: `{"title":"\ud800"}` }),
  "no-counts"(document, made) {
    Object.defineProperty(made, "counts", { value: { push() {} } });
    return document;
  },
  "wrong-severity"(document, made) {
    made.issues.push({ item: 0, severity: "catastrophe", code: "x", message: "x" });
    return document;
  },
  "bad-getter"(document, made) {
    Object.defineProperty(made, "removals", {
      get() {
        throw new Error("no removals today");
      },
    });
    return document;
  },
  "huge-list"(document, made) {
    made.issues = { length: 4294967295 };
    return document;
  },
};
