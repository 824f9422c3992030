//! What is known beside a task itself when it is decided about: gathered before, for all stacks together.

use crate::docker::Roll;
use crate::docker::command::ResolveImage;
use crate::hold::Hold;
use crate::source::SourceId;
use crate::stack::StackName;

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Facts<'a> {
    /// The commit that was read; empty where none was.
    pub commit: &'a str,
    /// Whether this run is for the stack.
    pub is_selected: bool,
    /// Why it is deployed whether or not anything changed.
    pub forced: Option<&'a str>,
    /// What keeps it as it is.
    pub hold: Option<&'a Hold>,
    /// That it goes back to an earlier version, in words: what is desired is that version, and no hold is in its way.
    pub back: Option<&'a str>,
    /// What an earlier run would have done to it but for that, where its source was not read by this one.
    pub kept_back: Option<&'a str>,
    /// Whether it is being given to docker just now.
    pub is_being_given: bool,
    /// Another watched source that has its name.
    pub owner: Option<&'a SourceId>,
    /// Whether that one is being asked or fetched: it may list it no more.
    pub owner_is_expected: bool,
    /// The watched source that hands it over to this one.
    pub predecessor: Option<&'a SourceId>,
    /// Its source lists it no more, another one does.
    pub handover: Option<Handover>,
    /// Whether another source may list what this one lists no more.
    pub elsewhere: Elsewhere,
    /// Whether this DockerOps runs in it.
    pub is_own: bool,
    /// Whether it comes after all others, since its deploy may end this program, and these are not done.
    pub comes_later: bool,
    /// Whether its source drops a stack that may yet change hands, so that names and ports may be taken.
    pub waits_for_room: bool,
    /// What came of it in this run already.
    pub tried: Option<&'a Tried>,
    /// The stacks it depends on that are not as they should be.
    pub dependencies: Vec<(&'a StackName, Dependency)>,
    /// An image that is being pulled for it.
    pub pulling: Option<&'a str>,
    /// Why it must not be deployed.
    pub objections: Objections,
    /// The services whose tag names another digest by now.
    pub rolls: Vec<Roll>,
    pub tags: Tags,
    /// Which images docker is to ask for.
    pub resolve: ResolveImage,
}

/// What registries say of the tags of a stack, beside what its services run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tags {
    /// Tags are not compared.
    Unasked,
    /// They name what runs.
    Live,
    /// One names something else, or nobody could say what.
    Other,
}

/// Why a stack must not be deployed, by what was checked. Each is a sentence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Objections {
    /// A binding lies where another source has one.
    pub binding: Option<String>,
    /// A secret is missing in the Swarm.
    pub secret: Option<String>,
    /// A config, secret, network or service name is another stack's.
    pub object: Option<String>,
}

/// How a stack is that changes hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handover {
    /// It runs as its new source says.
    Done,
    /// Its new source is about to have it.
    UnderWay,
    /// Its new source could not take it.
    Stuck,
}

/// Whether another source may list a stack that its own lists no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elsewhere {
    No,
    /// The others are being asked, or fetched.
    Asked,
    /// One of them cannot be read: why it stays, in words.
    Unclear(String),
}

/// How a stack is that another one depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependency {
    Moving,
    /// An image of it is to be built.
    Building,
    /// It is on hold, and does not run.
    OnHold,
    /// It failed; whether it is not tried again until the source changes.
    Failed {
        /// See `Until::SourceChanges`.
        held: bool,
    },
}

/// What came of a stack in this run that is not to be tried again in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    Failed {
        why: String,
        /// Whether it is not to be tried again until the source changes.
        held: bool,
    },
    /// docker was given it, and cannot be asked what came of it.
    Unseen { why: String },
    /// It keeps what it runs: a new image could not be had.
    Kept,
}

impl Default for Facts<'_> {
    fn default() -> Self {
        Self {
            commit: "",
            is_selected: true,
            forced: None,
            hold: None,
            back: None,
            kept_back: None,
            is_being_given: false,
            owner: None,
            owner_is_expected: false,
            predecessor: None,
            handover: None,
            elsewhere: Elsewhere::No,
            waits_for_room: false,
            is_own: false,
            comes_later: false,
            tried: None,
            dependencies: Vec::new(),
            pulling: None,
            objections: Objections::default(),
            rolls: Vec::new(),
            tags: Tags::Unasked,
            resolve: ResolveImage::Changed,
        }
    }
}
