#!/usr/bin/env bash
# The long form of the crash test: `kill -9` at 200 random moments of syncs of 20,000 products, each started again until it
# ends; then counts, documents, reports and chunks must be those of an undisturbed run. --short is what every test run
# does. HOST_TEST_SEED repeats the moments of a run that failed.
set -euo pipefail
cd "$(dirname "$0")/.."
if [[ ${1:-} != --short ]]; then
  export HOST_TEST_CRASH_KILLS=${HOST_TEST_CRASH_KILLS:-200} HOST_TEST_CRASH_PRODUCTS=${HOST_TEST_CRASH_PRODUCTS:-20000}
fi
exec cargo test --release --package host --test e2e -- --exact crash::killed_runs_end_like_an_undisturbed_one --nocapture
