// @ts-check
// {{name}}, a plug-in for host. The contract is in `types.d.ts`; README.md explains how to build and test.

import log from "product-indexer:plugin/log@0.1.0";

/**
 * Logs unexpected errors before they become a trap: a trap carries no message, but its report shows the log.
 * @template {any[]} Args
 * @template Result
 * @param {(...args: Args) => Result} role
 * @returns {(...args: Args) => Result}
 */
function logErrors(role) {
  return (...args) => {
    try {
      return role(...args);
    } catch (error) {
      if (error instanceof Error) log.write("error", `${error}\n${error.stack}`);
      throw error;
    }
  };
}

/** The settings under `[plugin.config.{{name}}]` in host.toml, with their defaults. */
const defaults = {
  // @begin transform
  currency: "EUR",
  // @end
};
let config = defaults;

/** @type {import("./types").Manifest} */
export const manifest = {
  describe() {
    return {
      name: "{{name}}",
      version: "0.1.0",
      platform: "{{platform}}",
      grouping: { tag: "whole-lines" },
      configSchema: JSON.stringify({{schema}}),
      versionFields: ["updated_at"],
    };
  },

  configure(text) {
    const settings = JSON.parse(text);
    for (const key of Object.keys(settings)) {
      // A thrown { code, message } is reported to the user; anything else is a trap.
      if (!(key in defaults)) throw { code: "invalid-configuration", message: `there is no setting ${key}` };
    }
    config = { ...defaults, ...settings };
  },
};
// @begin transform

/** @type {import("./types").Transform} */
export const transform = {
  run: logErrors((products) => {
    /** @type {import("./types").Transformed} */
    const output = { documents: [], counts: [], removals: [], issues: [] };
    products.forEach((text, item) => {
      const before = output.documents.length;
      product(item, JSON.parse(text), output);
      output.counts.push(output.documents.length - before);
    });
    return output;
  }),
};

/**
 * @param {number} item
 * @param {any} product
 * @param {import("./types").Transformed} output
 */
function product(item, product, output) {
  const { id, title = "", price = "", tags = [], updated_at, published = true } = product;
  if (!published) {
    output.removals.push({ item, id, version: JSON.stringify({ updated_at }) });
    return;
  }
  if (price === "" || Number.isNaN(Number(price))) {
    const message = "The product has no price.";
    output.issues.push({ item, severity: "error", code: "missing-price", message, path: "/price" });
    return;
  }
  const fields = { title, price: Number(price), currency: config.currency, tags, updated_at };
  output.documents.push({ id, fields: JSON.stringify(fields) });
}
// @end
// @begin validate

/** @type {import("./types").Validate} */
export const validate = {
  run: logErrors((documents) => {
    /** @type {import("./types").Issue[]} */
    const issues = [];
    documents.forEach((document, item) => {
      const { title = "", price } = JSON.parse(document.fields);
      if (title === "") {
        const message = "The document has no title.";
        issues.push({ item, severity: "error", code: "missing-title", message, path: "/title" });
      }
      if (price === 0) {
        const message = "The price is zero.";
        issues.push({ item, severity: "warning", code: "price-is-zero", message, path: "/price" });
      }
    });
    return issues;
  }),
};
// @end
// @begin version

/** @type {import("./types").Version} */
export const version = {
  compare: logErrors((pairs) =>
    pairs.map(({ incoming, stored }) => {
      // UTC times of the same format can be compared as text.
      const [a, b] = [incoming, stored].map((text) => JSON.parse(text).updated_at ?? "");
      return a > b ? "newer" : a === b ? "same" : "older";
    }),
  ),
};
// @end
