//! An HTTP/1.1 server with as much of HTTP as clients of Marqo use. No library, because some faults (failures that a
//! test asks for) need the socket itself: to reset it, or to leave a request without an answer.

use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The most bytes of a request's line and headers.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The most bytes of a request's body. Marqo has no limit; this one keeps a faulty test from filling the memory.
const MAX_BODY_BYTES: usize = 512 * 1024 * 1024;

/// The most headers of a request.
const MAX_HEADERS: usize = 96;

/// A whole request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Before percent-decoding, without the query.
    pub(crate) path: String,
    pub(crate) query: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the connection ends after the answer.
    closes: bool,
}

impl Request {
    /// The first header of this name, in upper or lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The first query parameter of this name.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let pairs = self.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| decoded(&value.replace('+', " ")))
    }

    /// Whether a query parameter is true, in one of the spellings that FastAPI (Marqo's web framework) accepts.
    pub(crate) fn flag(&self, name: &str) -> bool {
        let value = self.parameter(name).unwrap_or_default().to_lowercase();
        ["true", "1", "on", "yes", "t", "y"].contains(&value.as_str())
    }
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

/// What the client gets for a request.
#[derive(Debug)]
pub(crate) enum RequestOutcome {
    Answer(Response),
    /// Never an answer; the connection stays open until the client closes it.
    Hang,
    /// The connection is reset instead of closed in order.
    Reset,
}

/// One client's connection.
pub(crate) struct Connection {
    stream: TcpStream,
    /// Bytes that were read and are not part of a request yet.
    unread: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// Answers request after request until one side closes the connection.
    pub(crate) async fn serve<F>(mut self, mut answer: impl FnMut(Request) -> F) -> io::Result<()>
    where
        F: Future<Output = RequestOutcome>,
    {
        // Clients wait for each answer, which is small, so it must be sent at once.
        self.stream.set_nodelay(true)?;
        loop {
            let request = match self.next_request().await {
                Ok(Some(request)) => request,
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    let body = b"Invalid HTTP request received.".to_vec();
                    let headers = vec![("content-type", "text/plain; charset=utf-8".to_owned())];
                    return self.send(&Response { status: 400, headers, body }, true).await;
                }
                Err(error) => return Err(error),
            };
            let closes = request.closes;
            match answer(request).await {
                RequestOutcome::Answer(response) => self.send(&response, closes).await?,
                RequestOutcome::Hang => return self.wait_until_closed().await,
                // Closing a socket that does not linger resets the connection.
                RequestOutcome::Reset => return self.stream.set_zero_linger(),
            }
            if closes {
                return Ok(());
            }
        }
    }

    /// The next request; `None` when the client has closed the connection.
    async fn next_request(&mut self) -> io::Result<Option<Request>> {
        let (mut request, head_length) = loop {
            if let Some(parsed) = parse_head(&self.unread)? {
                break parsed;
            }
            if self.unread.len() > MAX_HEAD_BYTES {
                return Err(invalid("the head is too long"));
            }
            if self.read_more().await? == 0 {
                return if self.unread.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        };
        self.unread.drain(..head_length);
        if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let is_chunked = request.header("transfer-encoding").is_some_and(|value| value.contains("chunked"));
        request.body = if is_chunked {
            self.chunked_body().await?
        } else {
            let length = request.header("content-length").unwrap_or("0").trim().parse();
            self.take(length.map_err(|_| invalid("content-length is not a number"))?).await?
        };
        Ok(Some(request))
    }

    /// Reads a body with `transfer-encoding: chunked`.
    async fn chunked_body(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.take_line().await?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| invalid("a chunk without size"))?;
            if size == 0 {
                // Skips the trailers.
                while !self.take_line().await?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.take(size).await?);
            self.take_line().await?;
            if body.len() > MAX_BODY_BYTES {
                return Err(invalid("the body is too long"));
            }
        }
    }

    /// Takes the next line, without its end.
    async fn take_line(&mut self) -> io::Result<String> {
        let length = loop {
            if let Some(length) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                break length;
            }
            self.read_some().await?;
        };
        let line = String::from_utf8_lossy(&self.unread[..length]).into_owned();
        self.unread.drain(..length + 2);
        Ok(line)
    }

    /// Takes the next `length` bytes.
    async fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        if length > MAX_BODY_BYTES {
            return Err(invalid("the body is too long"));
        }
        self.unread.reserve(length.saturating_sub(self.unread.len()));
        while self.unread.len() < length {
            self.read_some().await?;
        }
        let rest = self.unread.split_off(length);
        Ok(std::mem::replace(&mut self.unread, rest))
    }

    /// Reads at least one byte; an error if the connection has ended.
    async fn read_some(&mut self) -> io::Result<()> {
        match self.read_more().await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Reads some bytes; returns how many, 0 if the connection has ended.
    async fn read_more(&mut self) -> io::Result<usize> {
        if self.unread.len() == self.unread.capacity() {
            self.unread.reserve(16 * 1024);
        }
        self.stream.read_buf(&mut self.unread).await
    }

    async fn send(&mut self, response: &Response, closes: bool) -> io::Result<()> {
        let mut bytes = format!("HTTP/1.1 {} {}\r\n", response.status, reason(response.status)).into_bytes();
        for (name, value) in &response.headers {
            bytes.extend(format!("{name}: {value}\r\n").bytes());
        }
        bytes.extend(format!("server: uvicorn\r\ncontent-length: {}\r\n", response.body.len()).bytes());
        bytes.extend_from_slice(if closes { b"connection: close\r\n\r\n" } else { b"\r\n" });
        bytes.extend_from_slice(&response.body);
        self.stream.write_all(&bytes).await
    }

    /// Waits until the client closes the connection.
    async fn wait_until_closed(mut self) -> io::Result<()> {
        loop {
            self.unread.clear();
            if self.read_more().await? == 0 {
                return Ok(());
            }
        }
    }
}

/// The request without its body, and the length of its head; `None` if the head is not complete yet.
fn parse_head(bytes: &[u8]) -> io::Result<Option<(Request, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) =
        parsed.parse(bytes).map_err(|error| invalid(&error.to_string()))?
    else {
        return Ok(None);
    };
    let target = parsed.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: Vec::with_capacity(parsed.headers.len()),
        body: Vec::new(),
        // In HTTP/1.0 each connection has one request.
        closes: parsed.version == Some(0),
    };
    for header in parsed.headers.iter() {
        let value = String::from_utf8_lossy(header.value).trim().to_owned();
        request.headers.push((header.name.to_owned(), value));
    }
    request.closes |= request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Ok(Some((request, length)))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Decodes percent escapes; what is not a valid escape stays as it is.
pub(crate) fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut position = 0;
    while position < bytes.len() {
        let escape = bytes.get(position + 1..position + 3).filter(|_| bytes[position] == b'%');
        let byte = escape.and_then(|pair| std::str::from_utf8(pair).ok());
        match byte.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                position += 3;
            }
            None => {
                plain.push(bytes[position]);
                position += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// The reason phrase of a status.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Request Entity Too Large",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_parsed_only_when_it_is_whole() {
        let whole =
            b"GET /indexes/a%20b?expose_facets=true&x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nrest";
        assert!(parse_head(&whole[..40]).unwrap().is_none());
        let (request, length) = parse_head(whole).unwrap().unwrap();
        assert_eq!(&whole[length..], b"rest");
        assert_eq!((request.path.as_str(), request.closes), ("/indexes/a%20b", true));
        assert!(request.flag("expose_facets"));
        assert_eq!(request.parameter("x").as_deref(), Some(""));
        assert!(parse_head(b"\x00\x01 nonsense\r\n\r\n").is_err());
    }

    #[test]
    fn escapes_are_decoded_and_other_percent_signs_stay() {
        assert_eq!(decoded("a%20b%2Fc%"), "a b/c%");
        assert_eq!(decoded("100%zz"), "100%zz");
        assert_eq!(decoded("%C3%A9"), "é");
    }
}
