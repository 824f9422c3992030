//! `stop`: removes every stack and image that DockerOps manages, and empties its database.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write, stdin};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{Ending, Writer, all_removed, no_repositories};
use crate::cli::StopArgs;
use crate::docker::service::Service;
use crate::docker::{ImageRemoval, Swarm};
use crate::fault::fault;
use crate::holding::end_holds;
use crate::image::ImageRef;
use crate::plain;
use crate::plan;
use crate::reconcile::{
    LOCAL_TAG, forget_every_in_swarm, lasting_tag, remove_all, remove_bindings, wait_for_others,
};
use crate::report::Voice;
use crate::settings::Settings;
use crate::signal;
use crate::state::{BuildRow, State};
use crate::watched::{Watched, watched};

/// Containers that are told to stop have so long to let go of their image.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks first, and takes the lock only then: a question that nobody answers holds up nobody. Keeps the database
/// if a stack could not be removed.
pub fn run(settings: &Settings, arguments: &StopArgs) -> Result<Ending> {
    let confirmed = (!arguments.yes).then(|| confirm(settings)).transpose()?;
    let writer = Writer::open(settings, "stop", Voice::from_options(false, arguments.quiet))?;
    wait_for_others(&writer.session())?;
    let watched = watched(&writer.state)?;
    if watched.is_empty() && writer.state.images()?.is_empty() {
        // What was asked for is so already.
        writer.report.say(&format!("{}; there is nothing to stop", no_repositories(settings)));
        return Ok(Ending::Done);
    }
    if confirmed.is_some_and(|question| question != self::question(&watched)) {
        let what = "there are other stacks now than those you were asked about; nothing was removed";
        return Err(fault(what, "run `dockerops stop` again"));
    }
    let session = writer.session();
    let swarm = writer.docker.observe()?;
    let mut digests = digests(&watched, &swarm);
    for (image, references) in writer.state.image_digests()? {
        digests.entry(image).or_default().extend(references);
    }
    all_removed(remove_all(&session, &watched.iter().collect::<Vec<_>>(), &swarm)?)?;
    for known in &watched {
        remove_bindings(&session, &known.row.url)?;
    }
    remove_images(&writer, digests)?;
    end_holds(&writer, watched.iter());
    // Another installation may still have stacks, and holds on them, and tell its own by the key.
    if writer.docker.observe()?.services.iter().all(|service| plan::owner(service).is_none()) {
        if let Err(error) = writer.docker.remove_key() {
            writer.report.note("dockerops-key", &format!("the config with the key stays: {error:#}"));
        }
        if let Err(error) = forget_every_in_swarm(&session) {
            writer.report.warn(&format!("the Swarm still remembers holds: {error:#}"));
        }
    }
    writer.state.clear()?;
    writer.sweep_kept()?;
    writer.report.say("everything DockerOps managed is removed; volumes stay");
    Ok(Ending::Done)
}

/// The question that was answered with yes; empty where there was nothing to ask about.
fn confirm(settings: &Settings) -> Result<String> {
    let Some(state) = State::read(&settings.database)? else { return Ok(String::new()) };
    let watched = watched(&state)?;
    if watched.is_empty() && state.images()?.is_empty() {
        return Ok(String::new());
    }
    if !stdin().is_terminal() {
        return Err(fault(
            "`stop` removes every stack and asks first, but there is no terminal",
            "run `dockerops stop --yes`",
        ));
    }
    let question = question(&watched);
    eprint!("{} [y/N] ", plain::line(&question));
    std::io::stderr().flush()?;
    if matches!(answer()?.trim(), "y" | "Y" | "yes") {
        Ok(question)
    } else {
        Err(fault("not confirmed, nothing was removed", "answer `y`"))
    }
}

fn question(watched: &[Watched]) -> String {
    let stacks: Vec<_> =
        watched.iter().flat_map(|known| &known.stacks).map(|stack| stack.name.to_string()).collect();
    let names = stacks.join(", ");
    format!("remove {} stacks ({names}) and forget {} repositories?", stacks.len(), watched.len())
}

/// A line of the terminal. Ctrl-C ends the wait for it: a mere read would go on behind the signal's back.
fn answer() -> Result<String> {
    let tick = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    while let Ok(0) | Err(Errno::INTR) = poll(&mut [PollFd::new(&stdin(), PollFlags::IN)], Some(&tick)) {
        signal::check()?;
    }
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    Ok(answer)
}

/// Swarm pulls by digest and gives no tag: the digests that run, by the name they are tracked under.
fn digests(watched: &[Watched], swarm: &Swarm) -> BTreeMap<String, BTreeSet<String>> {
    let mut digests: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let ours = |service: &&Service| watched.iter().any(|known| plan::is_of(service, &known.identity));
    for service in swarm.services.iter().filter(ours) {
        let name = service.summary.get("image").and_then(|image| ImageRef::parse(image).ok());
        if let (Some(name), Some(pulled)) =
            (name, ImageRef::parse(&service.image).ok().and_then(|image| image.pulled()))
        {
            digests.entry(name.to_string()).or_default().insert(pulled.to_string());
        }
    }
    for build in watched.iter().flat_map(|known| &known.builds) {
        digests.entry(build.name.clone()).or_default().extend(built(build));
    }
    digests
}

/// The other names that the last build of an image has on this node.
fn built(build: &BuildRow) -> Vec<String> {
    let parsed = |text: &String| ImageRef::parse(text).ok();
    let reference = build.reference.as_ref().and_then(parsed);
    let reference = reference.map(|reference| reference.pulled().unwrap_or(reference));
    let commit = build.commit.get(..12).unwrap_or_default();
    let id = reference.as_ref().and_then(|reference| reference.tag()?.strip_prefix(LOCAL_TAG));
    let tags = parsed(&build.name).into_iter().flat_map(|name| {
        // The first two are those of an earlier release.
        let with_own = format!("{}-{commit}", name.tag().unwrap_or_default());
        let lasting = id.map(|id| lasting_tag(&name, commit, id));
        [Some(name.with_tag(commit)), Some(name.with_tag(with_own)), lasting].into_iter().flatten()
    });
    tags.chain(reference.clone()).map(|name| name.to_string()).collect()
}

/// Removes tracked images that were not here before; never by force.
fn remove_images(writer: &Writer, mut digests: BTreeMap<String, BTreeSet<String>>) -> Result<()> {
    let mut foreign = writer.state.foreign_images()?;
    // A tag that a pull gave to such an image would take it along.
    let here = writer.docker.node_images()?;
    let ids: BTreeSet<_> = foreign.iter().filter_map(|name| here.id(name)).collect();
    foreign.extend(here.names().filter(|name| here.id(name).is_some_and(|id| ids.contains(id))).cloned());
    let until = Instant::now() + PATIENCE;
    let tracked = writer.state.images()?.into_iter().map(|image| image.name);
    // What bears the name of an image that was never built is somebody else's.
    let built = writer.state.builds()?.into_iter().filter(|build| build.reference.is_some());
    let tracked: BTreeSet<_> = tracked.chain(built.map(|build| build.name)).collect();
    for name in &tracked {
        let names: BTreeSet<_> =
            digests.remove(name).unwrap_or_default().into_iter().chain([name.clone()]).collect();
        let removals: Vec<_> = names
            .difference(&foreign)
            .map(|name| remove_image(writer, name, until))
            .collect::<Result<_>>()?;
        let kept = removals.iter().find_map(|removal| match removal {
            ImageRemoval::Kept(why) => Some(why),
            _ => None,
        });
        if let Some(why) = kept {
            writer.report.note(name, &format!("the image stays: {why}"));
        } else if removals.contains(&ImageRemoval::Removed) {
            writer.report.removed(name, "the image is removed from this node");
        } else if names.intersection(&foreign).next().is_some() {
            writer.report.note(name, "the image stays: it was here before DockerOps");
        }
    }
    Ok(())
}

/// A container that is stopping still holds its image.
fn remove_image(writer: &Writer, name: &str, until: Instant) -> Result<ImageRemoval> {
    loop {
        let removal = writer.docker.remove_image(name)?;
        match &removal {
            ImageRemoval::Kept(why)
                if (why.contains("being used by") || why.contains("is using")) && Instant::now() < until =>
            {
                signal::pause(Duration::from_millis(500))?;
            }
            _ => return Ok(removal),
        }
    }
}
