//! `stop`: removes every stack and image that DockerOps manages, and empties its database.

use std::io::{IsTerminal, Write, stdin};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Ending, NOTHING_WATCHED, Writer, all_removed};
use crate::cli::StopArgs;
use crate::deploy::pause;
use crate::fault::fault;
use crate::reconcile::remove_all;
use crate::settings::Settings;
use crate::watched::{Watched, watched};

/// Containers that are told to stop have so long to let go of their image.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks first; keeps the database if a stack could not be removed.
pub fn run(settings: &Settings, arguments: &StopArgs) -> Result<Ending> {
    let writer = Writer::open(settings)?;
    let watched = watched(&writer.state)?;
    if watched.is_empty() && writer.state.images()?.is_empty() {
        writer.report.say(NOTHING_WATCHED);
        return Ok(Ending::Done);
    }
    if !arguments.yes {
        confirm(&watched)?;
    }
    let session = writer.session();
    let swarm = writer.docker.observe()?;
    let mut failures = 0;
    for known in &watched {
        failures += remove_all(&session, known, &swarm)?;
    }
    all_removed(failures)?;
    remove_images(&writer)?;
    writer.state.clear()?;
    writer.report.say("everything DockerOps managed is removed; volumes stay");
    Ok(Ending::Done)
}

fn confirm(watched: &[Watched]) -> Result<()> {
    let stacks: Vec<_> =
        watched.iter().flat_map(|known| &known.stacks).map(|stack| stack.name.to_string()).collect();
    if !stdin().is_terminal() {
        return Err(fault(
            "`stop` removes every stack and asks first, but there is no terminal",
            "run `dockerops stop --yes`",
        ));
    }
    eprint!(
        "remove {} stacks ({}) and forget {} repositories? [y/N] ",
        stacks.len(),
        stacks.join(", "),
        watched.len()
    );
    std::io::stderr().flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(fault("not confirmed, nothing was removed", "answer `y`"))
    }
}

/// Removes tracked images that were not here before; never by force.
fn remove_images(writer: &Writer) -> Result<()> {
    let images = writer.state.images()?;
    let mut left: Vec<_> =
        images.iter().filter(|image| !image.foreign).map(|image| (&image.name, String::new())).collect();
    let until = Instant::now() + PATIENCE;
    loop {
        let mut kept = Vec::new();
        for (name, _) in left {
            match writer.docker.remove_image(name)? {
                Ok(()) => writer.report.removed(name, "the image is removed from this node"),
                Err(why) => kept.push((name, why)),
            }
        }
        left = kept;
        // A container that is stopping still holds its image.
        let stopping = left.iter().any(|(_, why)| why.contains("being used by") || why.contains("is using"));
        if !stopping || Instant::now() >= until {
            break;
        }
        pause(Duration::from_millis(500))?;
    }
    for (name, why) in left {
        writer.report.note(name, &format!("the image stays: {why}"));
    }
    for image in images.iter().filter(|image| image.foreign) {
        writer.report.note(&image.name, "the image stays: it was here before DockerOps");
    }
    Ok(())
}
