// The contract of wit/deps in TypeScript: what a plug-in exports and receives.

/** A complete product as JSON Lines: its own record first, then its descendants in export order. */
export type SourceProduct = string;

/** A document for the index. */
export interface Document {
  /** 1 to 255 characters of `[A-Za-z0-9._~-]`. */
  id: string;
  /** JSON object text without `_id`; `variants`, if there is one, is an array of objects with an `id` each. */
  fields: string;
}

/** A problem with an item of a batch. */
export interface Issue {
  /** Position of the item in the batch, from 0. */
  item: number;
  /** `error` refuses the item, `warning` keeps it; both are reported. */
  severity: "error" | "warning";
  /** Stable kebab-case name: `missing-price`. */
  code: string;
  /** One sentence for a person. */
  message: string;
  /** JSON Pointer to the place of the problem in the item. */
  path?: string;
}

/** Throw this when a whole batch cannot be processed. Any other thrown value is a trap. */
export interface Failure {
  /** Stable kebab-case name. */
  code: string;
  /** One sentence for a person. */
  message: string;
}

export interface Description {
  /** Name, in kebab-case. */
  name: string;
  /** Semantic version. */
  version: string;
  /** The platform whose exports the plug-in reads; empty without a transform role. */
  platform: string;
  /** How lines form products: one line each, or lines joined to their parents, by JSON Pointers to both ids. */
  grouping: { tag: "whole-lines" } | { tag: "by-parent"; val: { id: string; parents: string[] } };
  /** JSON Schema of the configuration. */
  configSchema: string;
  /** The document fields that `version.compare` gets. */
  versionFields: string[];
}

/** A document to remove from the index. */
export interface Removal {
  /** Position of the product in the batch. */
  item: number;
  /** Id of the document. */
  id: string;
  /** JSON object text with the version fields; `{}` removes unconditionally. */
  version: string;
}

export interface Transformed {
  /** All documents of the batch, in the order of their products. */
  documents: Document[];
  /** Number of documents per product. */
  counts: number[];
  removals: Removal[];
  issues: Issue[];
}

/** JSON object texts with the version fields of an incoming and a stored document. */
export interface Pair {
  incoming: string;
  stored: string;
}

/** How the incoming version compares with the stored one. */
export type Ordering = "newer" | "same" | "older";

export interface Manifest {
  /** Called before `configure`, any number of times; always returns the same. */
  describe(): Description;
  /** Gets the configuration as JSON object text, `{}` for none. Called once per instance, before the first batch. */
  configure(config: string): void;
}

export interface Transform {
  run(products: SourceProduct[]): Transformed;
}

export interface Validate {
  run(documents: Document[]): Issue[];
}

export interface Version {
  /** Returns one ordering per pair, in the same order. */
  compare(pairs: Pair[]): Ordering[];
}

declare module "product-indexer:plugin/log@0.1.0" {
  const log: {
    /** Writes one line to the host's log. */
    write(level: "debug" | "info" | "warn" | "error", message: string): void;
  };
  export default log;
}
