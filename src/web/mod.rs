//! What the daemon shows and hears over HTTP: webhooks, the JSON API, the status page, metrics.
//!
//! In: requests of anybody who reaches the address. Out: answers, triggers for the daemon's queue, commits to what is
//! watched, holds, and rollbacks in threads of their own. No request syncs, deploys or waits for that.

mod access;
mod actions;
mod api;
mod commits;
mod counts;
mod holds;
mod hooks;
mod logs;
mod metrics;
mod page;
mod permits;
mod person;
mod request;
mod response;
mod route;
mod server;
mod templates;
mod view;
mod writes;

use std::net::SocketAddr;

use anyhow::Result;

use crate::daemon::{Handle, JobId};
use crate::redact::Secret;
use crate::settings::{RunSettings, Settings};
use access::Access;
use commits::Commits;
use counts::Counts;
use holds::Holds;
use hooks::{Callbacks, Deliveries};
use page::Visits;
use server::Limits;
use templates::Templates;
use view::View;
use writes::Writes;

/// All that an answer may need.
#[derive(Debug)]
struct Web {
    handle: Handle,
    view: View,
    templates: Templates,
    commits: Commits,
    writes: Option<Writes>,
    holds: Holds,
    visits: Visits,
    access: Access,
    /// Of webhooks.
    secret: Option<Secret>,
    deliveries: Deliveries<Vec<JobId>>,
    callbacks: Callbacks,
    counts: Counts,
}

/// Listens where the settings say, on threads of its own until the process ends, and tells where that is; does
/// nothing where they name no address. Fails where the address cannot be had.
pub fn serve(settings: &Settings, run: &RunSettings, handle: Handle) -> Result<Option<SocketAddr>> {
    let Some(address) = run.listen else { return Ok(None) };
    let listener = server::bind(address)?;
    let address = listener.local_addr()?;
    let web = Web {
        view: View::new(settings, handle.clone()),
        templates: Templates::new(settings.git.clone()),
        commits: Commits::new(settings.git.clone()),
        writes: Writes::new(settings, run)?,
        holds: Holds::new(settings, run),
        visits: Visits::new()?,
        access: Access {
            loopback: address.ip().is_loopback(),
            token: run.api_token.clone(),
            writing: run.write.token.clone(),
        },
        secret: run.webhook_secret.clone(),
        deliveries: Deliveries::default(),
        callbacks: Callbacks::start(handle.clone()),
        counts: Counts::default(),
        handle,
    };
    server::start(listener, Limits::default(), move |head, body| route::answer(&web, head, body))?;
    Ok(Some(address))
}
