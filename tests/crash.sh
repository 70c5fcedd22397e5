#!/usr/bin/env bash
# The long forms of the crash tests: processes are killed with `kill -9` at 200 random moments and started again until each job
# ends; then counts, documents, reports and chunks must be those of an undisturbed run. Without arguments, the tests sync 20,000
# products into a relational catalog. With --aws, workers and ingests run on stand-ins for S3, SQS, DynamoDB and Marqo; workers
# are also suspended, and messages are delivered twice. --short runs both kinds as short as every test run does.
# HOST_TEST_SEED repeats the random moments of a run that failed.
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
# With --workspace, as all tests are built: a single package selects other features, so that cargo would build dependencies again.
exec cargo test --release --workspace --test e2e -- --exact "${tests[@]}" --nocapture
