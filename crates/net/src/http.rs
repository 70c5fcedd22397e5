//! The HTTP client, for Marqo servers and endpoints that compute embeddings.

use crate::tls::install_tls_provider;
use reqwest::{Client, redirect::Policy};
use std::time::Duration;

/// Sent with every request, so that a server's log shows that host sent it, and in which version.
const USER_AGENT: &str = concat!("host/", env!("CARGO_PKG_VERSION"));

/// Servers close idle connections after 60 to 75 s; a client that closes first never sends on a closed connection.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(55);

/// Idle connections to one server that are kept: more than any client here sends requests at once.
const POOL_MAX_IDLE: usize = 32;

/// How long the steps of one request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpTimeouts {
    /// Limit for establishing a connection.
    pub connect: Duration,
    /// Limit for a request and its whole response, the connection included.
    pub request: Duration,
}

/// A client that keeps connections open between requests and does not follow redirects, which would turn a POST into a
/// GET. Retrying is the caller's: only it knows which requests are idempotent.
///
/// # Errors
/// The system's certificates cannot be read.
pub fn http_client(timeouts: HttpTimeouts) -> reqwest::Result<Client> {
    install_tls_provider();
    Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(timeouts.connect)
        .timeout(timeouts.request)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(POOL_MAX_IDLE)
        .tcp_nodelay(true)
        .redirect(Policy::none())
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    /// Sends a request to a server that answers with `response`; returns what the client got and the request that it
    /// sent.
    async fn exchange(response: &'static str) -> (reqwest::Response, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap();
            stream.write_all(response.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let timeouts = HttpTimeouts { connect: Duration::from_secs(5), request: Duration::from_secs(30) };
        let response = http_client(timeouts).unwrap().get(format!("http://{address}/")).send().await.unwrap();
        (response, server.join().unwrap())
    }

    #[tokio::test]
    async fn requests_name_the_host_and_redirects_are_not_followed() {
        let redirect = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
        let (response, request) = exchange(redirect).await;
        assert_eq!(response.status().as_u16(), 302);
        assert!(request.to_lowercase().contains(&format!("user-agent: {USER_AGENT}")), "{request}");
    }
}
