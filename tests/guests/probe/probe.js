// The probe, a plug-in that tries what WASI (the standard system interfaces of WebAssembly) lets it do, in JavaScript, for the
// engines StarlingMonkey and QuickJS. A product's id says what to try; the product's document has the result.

export const manifest = {
  describe: () => ({
    name: "probe",
    version: "0.1.0",
    platform: "probe",
    grouping: { tag: "whole-lines" },
    configSchema: "{}",
    versionFields: ["clock"],
  }),
  configure() {},
};

export const transform = {
  run(products) {
    const ids = products.map((text) => JSON.parse(text).id);
    const found = ids.map(attempt);
    const made = (fields) => ({
      documents: fields.map((value, item) => ({ id: ids[item], fields: JSON.stringify(value) })),
      counts: products.map(() => 1),
      removals: [],
      issues: [],
    });
    // Only StarlingMonkey has `fetch`, which makes promises, and only StarlingMonkey waits for them.
    return found.some((value) => value instanceof Promise) ? Promise.all(found).then(made) : made(found);
  },
};

function attempt(what) {
  switch (what) {
    case "clocks":
      return { clock: [Date.now(), Date.now()] };
    case "request":
      if (typeof fetch !== "function") return { request: "there is no fetch" };
      return fetch("http://127.0.0.1/").then(
        () => ({ request: "it worked" }),
        (error) => ({ request: `it failed: ${error.name}` }),
      );
    case "output":
      if (typeof console === "undefined") return { output: "there is no console" };
      console.log("a line to standard output");
      console.error("a line to standard error");
      return {};
    default:
      return { unknown: what };
  }
}
