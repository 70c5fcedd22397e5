//! `host run`: ingest and index in one process.

use super::{
    Ended, Global,
    context::{effective, env, open, runtime, store_failure},
    failure::{Exit, Failure},
    jobs::{get, indexing, show},
    output::{OutputFormat, exit_of},
};
use crate::{
    config::{Config, GroupingMode},
    env::SharedEnv,
    fault::chain,
    ingest::{
        read::{self, ReadError, Reading},
        run::{IngestFault, IngestSettings, Published, ingest},
        chunk::ChunkBounds,
    },
    model::{Digest, Job, JobId, JobStatus, Operation, PluginRef, SameVersion},
    plugin::Plugins,
    store::embedded::Embedded,
    telemetry::progress::{Screen, State, bytes, count},
    worker::{Until, Worker},
};
use clap::Args;
use std::{path::PathBuf, sync::{Arc, atomic::Ordering::Relaxed}, time::Duration};
use tokio_util::sync::CancellationToken;
