//! Test doubles: a job store whose claims fail, and a subscriber that keeps what is logged.

use host_core::storage::{StoreError, StoreErrorKind};
use host_testing::fakes::{StoreCall, StoreInterceptor};
use std::{
    fmt,
    sync::{Arc, Mutex},
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// How claims fail.
#[derive(Clone, Copy, Debug)]
pub(super) enum Failing {
    /// With an error of this kind.
    With(StoreErrorKind),
    ByPanic,
}

/// Has claims fail for as long as it is told to.
pub(super) struct FailingClaims {
    pub(super) failing: Mutex<Option<Failing>>,
    /// Number of claims so far.
    pub(super) claims: Mutex<usize>,
}

impl StoreInterceptor for FailingClaims {
    async fn around<T: Send>(
        &self,
        call: StoreCall<'_>,
        answer: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        if call.name != "jobs.claim" {
            return answer.await;
        }
        *self.claims.lock().unwrap() += 1;
        let failing = *self.failing.lock().unwrap();
        match failing {
            None => answer.await,
            Some(Failing::With(kind)) => {
                Err(StoreError { action: "claiming".to_owned(), kind, source: "the test says so".into() })
            }
            Some(Failing::ByPanic) => panic!("the test says so"),
        }
    }
}

/// A `tracing` subscriber that keeps the messages of all events.
#[derive(Clone, Default)]
pub(super) struct Log(pub(super) Arc<Mutex<Vec<String>>>);

impl Visit for &Log {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut &*self);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
