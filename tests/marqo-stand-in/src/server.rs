//! The running stand-in for a Marqo server, as tests use it.

use crate::app::App;
use crate::exchange::Exchange;
use crate::fault::FaultRule;
use crate::http::Connection;
use crate::options::Options;
use crate::store::{StoredDocument, Write};
use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// A server on its own thread. It ends, with all its connections, when this is dropped. Any number of servers can run
/// in one process.
pub struct StandIn {
    app: Arc<App>,
    /// Dropping it ends the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    /// Starts a server; a client may connect as soon as this returns.
    ///
    /// # Errors
    /// The address cannot be listened on, or no thread can be started.
    pub fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen)?;
        listener.set_nonblocking(true)?;
        let url = format!("http://{}", listener.local_addr()?);
        let app = Arc::new(App::new(options, url));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&app);
        let thread = std::thread::Builder::new().name("marqo-stand-in".to_owned()).spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    _ = stopped => {}
                    () = accept(listener, served) => {}
                }
            });
        })?;
        Ok(Self { app, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens, such as `http://127.0.0.1:40123`.
    pub fn url(&self) -> &str {
        &self.app.url
    }

    /// Replaces the faults. All counters start at zero, the seed stays.
    pub fn set_faults(&self, faults: &[FaultRule]) {
        self.app.set_faults(faults, None);
    }

    /// The documents of an index, by the ids under which Vespa (the search engine that Marqo uses) keeps them.
    pub fn documents(&self, index: &str) -> BTreeMap<String, StoredDocument> {
        self.app.state().store.documents(index)
    }

    /// All writes that were applied to the documents of an index, by id and in order; also those of deleted documents.
    pub fn history(&self, index: &str) -> BTreeMap<String, Vec<Write>> {
        self.app.state().store.history(index)
    }

    /// All requests in the order in which they arrived.
    pub fn requests(&self) -> Vec<Exchange> {
        self.app.state().log.clone()
    }

    /// The number of requests in progress.
    pub fn running(&self) -> usize {
        self.app.state().running.values().sum()
    }

    /// How often each rule of [`crate::RULES`] was applied, by its name.
    pub fn rules_met(&self) -> BTreeMap<String, u64> {
        self.app.state().met.clone()
    }

    /// Waits until the server ends, which it does only if it cannot continue.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, app: Arc<App>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return eprintln!("the stand-in cannot listen: {error}"),
    };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // There are no more file descriptors: other connections have to end first.
            tokio::task::yield_now().await;
            continue;
        };
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            // An error means that the client has closed the connection.
            let _ = Connection::new(stream).serve(|request| app.answer(request)).await;
        });
    }
}
