//! A small HTTP/1.1 server: one thread a connection, one request a connection, and limits on all of it.
//!
//! Own code on `httparse`, because no synchronous library keeps the limits: `oxhttp` bounds each read and not
//! the whole head, so a client that sends a byte now and then holds a connection for ever, and beyond its number of
//! connections it waits instead of refusing; `astra` has no time limits; `tiny_http` and `rouille` neither, and
//! stand still. There is no keep-alive, no chunked body and no pipelining, so no two parties can disagree
//! on where a request ends.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::permits::{Kind, Permit, Permits};
use super::request::{Body, Head, Wire};
use super::response::Response;
use crate::fault::OrHint;

/// How much a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time; one more is refused.
    pub connections: usize,
    /// So many of them one client may hold.
    pub of_a_client: usize,
    /// So many of them an address of this machine may hold: it may be a proxy with everybody's requests.
    pub of_this_machine: usize,
    /// More of them for this machine's health check alone.
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
            connections: 80,
            of_a_client: 16,
            of_this_machine: 64,
            spare: 8,
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            bytes: 1024 * 1024,
        }
    }
}

/// How long a client is listened to after its answer, so that it reads it before the connection is reset.
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
    let permits = Permits::new();
    loop {
        let Ok((stream, peer)) = listener.accept() else {
            // Out of file descriptors, most likely: others will be closed.
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        let Some(permit) = permits.take(peer.ip(), &limits) else {
            turn_away(&stream);
            continue;
        };
        let answer = Arc::clone(answer);
        let serve = move || drop(serve(stream, permit, limits, &*answer));
        // Without a thread the connection is closed, and the client sees that.
        let _ = thread::Builder::new().name("web request".into()).spawn(serve);
    }
}

fn busy() -> Response {
    Response::refusal(503, "too many connections", "try again in a moment").with("retry-after", "1")
}

/// Costs the accepting thread one write that cannot block.
fn turn_away(stream: &TcpStream) {
    if stream.set_nonblocking(true).is_ok() {
        let busy = busy();
        let _ = io::Write::write(&mut &*stream, &[&busy.head(), &*busy.body()].concat());
    }
}

fn serve<F>(stream: TcpStream, permit: Permit, limits: Limits, answer: &F) -> io::Result<()>
where
    F: Fn(&Head, &mut Body<'_>) -> Response,
{
    stream.set_nodelay(true)?;
    let mut wire = Wire::new(stream);
    let for_health_alone = permit.kind == Kind::Health;
    // Nobody may sit on the permits that are for the health check.
    let patience = if for_health_alone { limits.head / 5 } else { limits.head };
    let (response, with_body) = match wire.head(patience) {
        Ok(Some(head)) if for_health_alone && head.path != "/healthz" => (busy(), true),
        Ok(Some(head)) => {
            let mut body = Body::new(&mut wire, &head, limits);
            (answer(&head, &mut body), head.method != "HEAD")
        }
        Ok(None) => return Ok(()),
        Err(refusal) => (refusal, true),
    };
    wire.write(&response.head(), limits.body)?;
    if with_body {
        wire.write(&response.body(), limits.body)?;
    }
    // Given back before the client can see that it was answered, so that its next connection finds it.
    let lingering = permit.linger(&limits);
    wire.stream().shutdown(Shutdown::Write)?;
    if lingering.is_some() {
        wire.drain(LINGER, limits.bytes);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
