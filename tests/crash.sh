#!/usr/bin/env bash
# The long forms of the crash tests: `kill -9` at 200 random moments, each job going on until it ends; then counts, documents,
# reports and chunks must be those of an undisturbed run. Without arguments: syncs of 20,000 products into a catalog, each
# started again. --aws: workers and ingests on stand-ins for S3, SQS, DynamoDB and Marqo, where workers are also suspended and
# messages come twice. --short is what every test run does of both. HOST_TEST_SEED repeats the moments of a run that failed.
set -euo pipefail
cd "$(dirname "$0")/.."
tests=(crash::killed_runs_end_like_an_undisturbed_one)
case ${1:-} in
  --short) tests+=(aws_crash::killed_workers_and_ingests_lose_and_double_nothing) ;;
  --aws)
    tests=(aws_crash::killed_workers_and_ingests_lose_and_double_nothing)
    export HOST_TEST_AWS_ROUNDS=${HOST_TEST_AWS_ROUNDS:-200} HOST_TEST_AWS_PRODUCTS=${HOST_TEST_AWS_PRODUCTS:-1000}
    ;;
  *)
    export HOST_TEST_CRASH_KILLS=${HOST_TEST_CRASH_KILLS:-200} HOST_TEST_CRASH_PRODUCTS=${HOST_TEST_CRASH_PRODUCTS:-20000}
    ;;
esac
# Of the whole workspace, as all tests are built: with the features of one package, dependencies would be built again.
exec cargo test --release --workspace --test e2e -- --exact "${tests[@]}" --nocapture
