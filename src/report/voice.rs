//! How much a run says, and where: for a person, for a program, or for cron.

/// What goes where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Voice {
    /// Results on stdout, progress on stderr.
    #[default]
    Plain,
    /// One JSON object on stdout, and all else on stderr.
    Json,
    /// Nothing but what failed, and warnings.
    Quiet,
    /// The JSON object, and nothing else but what failed, and warnings.
    QuietJson,
}

impl Voice {
    /// By two options.
    pub fn from_options(json: bool, quiet: bool) -> Self {
        match (json, quiet) {
            (false, false) => Self::Plain,
            (true, false) => Self::Json,
            (false, true) => Self::Quiet,
            (true, true) => Self::QuietJson,
        }
    }

    pub fn is_quiet(self) -> bool {
        matches!(self, Self::Quiet | Self::QuietJson)
    }
}
