//! A small HTTP/1.1 server: one thread a connection, one request a connection, and limits on all of it.
//!
//! Own code on `httparse`, because no synchronous library keeps the limits: `oxhttp` bounds each read and not
//! the whole head, so a client that sends a byte now and then holds a place for ever, and beyond its number of
//! connections it waits instead of refusing; `astra` has no time limits; `tiny_http` and `rouille` neither, and
//! stand still. There is no keep-alive, no chunked body and no pipelining, so no two parties can disagree
//! on where a request ends.

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::request::{Body, Head, Wire};
use super::response::Response;
use crate::fault::OrHint;

/// How much a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time; one more is refused.
    pub connections: usize,
    /// More of them for this machine itself: whoever asks for `/healthz` must not be kept out by strangers, or
    /// the daemon is restarted for their sake.
    pub spare: usize,
    /// For the request line and the headers to arrive.
    pub head: Duration,
    /// For the body to arrive, and for the answer to leave.
    pub body: Duration,
    /// Longest body, in bytes.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            spare: 8,
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            bytes: 1024 * 1024,
        }
    }
}

impl Limits {
    /// Connections there may be at a time for `peer` to get another one.
    fn room(&self, peer: IpAddr) -> usize {
        self.connections + if peer.to_canonical().is_loopback() { self.spare } else { 0 }
    }
}

/// How long a refused client is listened to, so that it reads the refusal before the connection is reset.
const LINGER: Duration = Duration::from_millis(500);

/// Takes the address; fails where it is taken or is none of this machine's.
pub fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .with_context(|| format!("cannot listen on `{address}`"))
        .or_hint("is another program there already? `DOCKEROPS_LISTEN` names the address and port")
}

/// Answers on threads of its own, until the process ends.
pub fn start<F>(listener: TcpListener, limits: Limits, answer: F) -> Result<()>
where
    F: Fn(&Head, &mut Body<'_>) -> Response + Send + Sync + 'static,
{
    let answer = Arc::new(answer);
    let accept = move || accept(&listener, limits, &answer);
    thread::Builder::new().name("web".into()).spawn(accept).context("cannot start a thread")?;
    Ok(())
}

fn accept<F>(listener: &TcpListener, limits: Limits, answer: &Arc<F>)
where
    F: Fn(&Head, &mut Body<'_>) -> Response + Send + Sync + 'static,
{
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let Ok((stream, peer)) = listener.accept() else {
            // Out of file descriptors, most likely: others will be closed.
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        let Some(place) = Place::take(&open, limits.room(peer.ip())) else {
            turn_away(&stream);
            continue;
        };
        let answer = Arc::clone(answer);
        let serve = move || {
            let _place = place;
            let _ = serve(stream, limits, &*answer);
        };
        // Without a thread the connection is closed, and the client sees that.
        let _ = thread::Builder::new().name("web request".into()).spawn(serve);
    }
}

/// One of the connections there may be, given back when dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let place = Self(Arc::clone(open));
        (open.fetch_add(1, Ordering::Relaxed) < most).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Costs the accepting thread one write that cannot block.
fn turn_away(stream: &TcpStream) {
    let busy = Response::refusal(503, "too many connections", "try again in a moment");
    if stream.set_nonblocking(true).is_ok() {
        let _ = io::Write::write(&mut &*stream, &busy.bytes(true));
    }
}

fn serve<F>(stream: TcpStream, limits: Limits, answer: &F) -> io::Result<()>
where
    F: Fn(&Head, &mut Body<'_>) -> Response,
{
    stream.set_nodelay(true)?;
    let mut wire = Wire::new(stream);
    let (response, with_body) = match wire.head(limits.head) {
        Ok(Some(head)) => {
            let mut body = Body::new(&mut wire, &head, limits);
            (answer(&head, &mut body), head.method != "HEAD")
        }
        Ok(None) => return Ok(()),
        Err(refusal) => (refusal, true),
    };
    wire.write(&response.bytes(with_body), limits.body)?;
    wire.stream().shutdown(Shutdown::Write)?;
    wire.drain(LINGER, limits.bytes);
    Ok(())
}

#[cfg(test)]
mod tests;
