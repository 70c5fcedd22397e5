//! `host lambda`: writes published chunks to the index, as an AWS Lambda function whose event sources are SQS queues.

use super::{
    CliResult, Global, backend,
    context::{clock, effective, plugins, runtime},
    failure::{Exit, Failure},
    plugin_source::PluginArgs,
};
use crate::{
    config::{Effective, StoreKind},
    telemetry::exporter::{self, Exporter},
};
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use clap::Args;
use host_core::{clock::SharedClock, storage::Receipt};
use host_net::RetryProfile;
use host_pipeline::worker::{Deadlines, Worker};
use host_storage_aws::Aws;
use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Time before the function's deadline that is left to requeue unfinished chunks and send the response.
const RESPONSE_MARGIN: Duration = Duration::from_secs(5);

/// Arguments of `host lambda`.
#[derive(Debug, Args)]
pub(super) struct LambdaArgs {
    #[command(flatten)]
    plugins: PluginArgs,
}

/// What lives from one invocation to the next.
struct Function {
    worker: Arc<Worker>,
    aws: Aws,
    exporter: Exporter,
    /// In this time before the deadline no chunk is begun, because it would hardly end.
    reserve: Duration,
    clock: SharedClock,
}

pub(super) fn run(global: &Global, args: &LambdaArgs) -> CliResult {
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        return Err(Failure::usage("this is not started by the Lambda runtime")
            .help("`host work` does the same work anywhere else"));
    }
    let mut overrides = global.overrides();
    overrides.set("lambda", "store", Some(StoreKind::Aws));
    args.plugins.set(&mut overrides);
    let Effective { config, origins } = effective(global, &overrides)?;
    let plugins = plugins(&config, &origins)?;
    runtime()?.block_on(async {
        let aws = backend::aws(&config).await;
        let index = backend::Backend::open(&config, false).await?.index(&config, RetryProfile::Background)?;
        let worker = backend::worker(&aws, &config, index, &plugins);
        let exporter = exporter::start(&config.telemetry).map_err(Failure::usage)?;
        // The collector of metrics keeps few values, so they are written during a long invocation, too.
        tokio::spawn(exporter.clone().run(clock()));
        let function = Function {
            worker: Arc::new(worker),
            aws,
            exporter,
            reserve: config.aws.lambda_reserve(),
            clock: clock(),
        };
        let handle = |event: LambdaEvent<SqsEvent>| function.handle(event);
        lambda_runtime::run(service_fn(handle)).await.map_err(Failure::runtime)?;
        Ok(Exit::Completed)
    })
}

impl Function {
    /// Handles a batch of messages; the response names those that SQS must deliver again.
    async fn handle(&self, event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, lambda_runtime::Error> {
        let deadline = Timestamp::try_from(event.context.deadline())?;
        let has_time = self.ensure_time_to_begin(deadline);
        let batch = self.aws.deliveries_of_event(&event.payload.records, self.worker.lease()).await;
        let mut failed = batch.held;
        let mut deliveries = Vec::with_capacity(batch.deliveries.len());
        let mut ids: HashMap<Receipt, String> = HashMap::new();
        for (id, delivery) in batch.deliveries {
            ids.insert(delivery.receipt.clone(), id);
            deliveries.push(delivery);
        }
        let before = |margin: Duration| {
            let margin = jiff::SignedDuration::try_from(margin).unwrap_or(jiff::SignedDuration::MAX);
            deadline.saturating_sub(margin).unwrap_or(Timestamp::MIN)
        };
        let deadlines = Deadlines {
            begin_until: before(self.reserve.max(RESPONSE_MARGIN)),
            work_until: before(RESPONSE_MARGIN),
        };
        let received = deliveries.len();
        let done = self.worker.run_batch(deliveries, deadlines).await;
        failed.extend(ids.into_iter().filter(|(receipt, _)| !done.contains(receipt)).map(|(_, id)| id));
        tracing::info!(received, left = failed.len(), left_ms = self.left(deadline), "a batch was handled");
        self.exporter.flush();
        has_time?;
        let mut response = SqsBatchResponse::default();
        response.set_failures(failed);
        Ok(response)
    }

    /// An error if too little time is left to begin any chunk. SQS then delivers the messages again, after waits that
    /// grow to a minute, so that work continues soon after the operator has raised the timeout.
    fn ensure_time_to_begin(&self, deadline: Timestamp) -> Result<(), String> {
        let (left, reserve) = (self.left(deadline) / 1_000, self.reserve.max(RESPONSE_MARGIN).as_secs());
        if left > i64::try_from(reserve).unwrap_or(i64::MAX) {
            return Ok(());
        }
        Err(format!(
            "the function's timeout leaves {left} s, and no chunk is begun in the last {reserve} s (`aws.lambda_reserve_seconds`): \
             raise the timeout, to 15 minutes if nothing else decides it, or lower the setting"
        ))
    }

    /// Milliseconds left until the deadline.
    fn left(&self, deadline: Timestamp) -> i64 {
        i64::try_from(self.clock.now().duration_until(deadline).as_millis()).unwrap_or(0)
    }
}
