// @ts-check
// {{name}}, a plug-in for host. `types.d.ts` has the contract, README.md says how to build and test.

import log from "product-indexer:plugin/log@0.1.0";

/**
 * What is thrown by mistake is a trap, and a trap has no words: they go to the log, which the report of the trap shows.
 * @template {any[]} Given
 * @template Made
 * @param {(...given: Given) => Made} role
 * @returns {(...given: Given) => Made}
 */
function told(role) {
  return (...given) => {
    try {
      return role(...given);
    } catch (error) {
      if (error instanceof Error) log.write("error", `${error}\n${error.stack}`);
      throw error;
    }
  };
}

/** What a shop can set under `[plugin.config.{{name}}]` in host.toml. */
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
    const given = JSON.parse(text);
    for (const key of Object.keys(given)) {
      // What is thrown as { code, message } is told to the shop; anything else is a trap.
      if (!(key in defaults)) throw { code: "invalid-configuration", message: `there is no setting ${key}` };
    }
    config = { ...defaults, ...given };
  },
};
// @begin transform

/** @type {import("./types").Transform} */
export const transform = {
  run: told((products) => {
    /** @type {import("./types").Transformed} */
    const made = { documents: [], counts: [], removals: [], issues: [] };
    products.forEach((text, item) => {
      const before = made.documents.length;
      product(item, JSON.parse(text), made);
      made.counts.push(made.documents.length - before);
    });
    return made;
  }),
};

/**
 * @param {number} item
 * @param {any} product
 * @param {import("./types").Transformed} made
 */
function product(item, product, made) {
  const { id, title = "", price = "", tags = [], updated_at, published = true } = product;
  if (!published) {
    made.removals.push({ item, id, version: JSON.stringify({ updated_at }) });
    return;
  }
  if (price === "" || Number.isNaN(Number(price))) {
    const message = "The product has no price.";
    made.issues.push({ item, severity: "error", code: "missing-price", message, path: "/price" });
    return;
  }
  const fields = { title, price: Number(price), currency: config.currency, tags, updated_at };
  made.documents.push({ id, fields: JSON.stringify(fields) });
}
// @end
// @begin validate

/** @type {import("./types").Validate} */
export const validate = {
  run: told((documents) => {
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
  compare: told((pairs) =>
    pairs.map(({ incoming, stored }) => {
      // Times in UTC of one format can be compared as text.
      const [a, b] = [incoming, stored].map((text) => JSON.parse(text).updated_at ?? "");
      return a > b ? "newer" : a === b ? "same" : "older";
    }),
  ),
};
// @end
