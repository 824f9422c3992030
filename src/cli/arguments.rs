//! What each subcommand takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::reason::reason;
use crate::span::{Span, span};

/// `watch`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct WatchArgs {
    /// The repository: `URL[#ref[:dir]]`.
    pub source: String,
    /// Say what would be deployed, and touch nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// End a dry run with 5 if it would change something, and with 3 if something stays other than Git says.
    #[arg(long, requires = "dry_run")]
    pub exit_code: bool,
    /// Print one JSON object in the end, what happened to each stack; the rest goes to stderr.
    #[arg(long)]
    pub json: bool,
    /// Print nothing but what failed, and warnings.
    #[arg(long, short)]
    pub quiet: bool,
}

/// `reconcile`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct ReconcileArgs {
    /// Only these stacks, and all stacks of these repositories; everything without one.
    #[arg(value_name = "STACK|SOURCE")]
    pub subjects: Vec<String>,
    /// Deploy them again, also those that failed and are held; tasks restart only where their spec differs.
    #[arg(long)]
    pub force: bool,
    /// Say what would change, and touch nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// In a dry run, show the file that docker would be given, without what looks like a secret.
    #[arg(long, requires = "dry_run", conflicts_with = "diff")]
    pub rendered: bool,
    /// In a dry run, show how that file differs from the one applied last.
    #[arg(long, requires = "dry_run")]
    pub diff: bool,
    /// End a dry run with 5 if it would change something, and with 3 if something stays other than Git says.
    #[arg(long, requires = "dry_run")]
    pub exit_code: bool,
    /// Print one JSON object in the end, what happened to each stack; the rest goes to stderr.
    #[arg(long, conflicts_with_all = ["rendered", "diff"])]
    pub json: bool,
    /// Print nothing but what failed, and warnings.
    #[arg(long, short)]
    pub quiet: bool,
}

/// `unwatch`.
#[derive(Debug, Args)]
pub struct UnwatchArgs {
    /// The repository, as it was watched.
    pub source: String,
    /// Forget the repository and leave its stacks running.
    #[arg(long)]
    pub keep_stacks: bool,
    /// Print nothing but what failed, and warnings.
    #[arg(long, short)]
    pub quiet: bool,
}

/// `hold`.
#[derive(Debug, Args)]
pub struct HoldArgs {
    /// The stack, or the repository as it was watched.
    #[arg(value_name = "STACK|SOURCE")]
    pub subject: String,
    /// For how long: `30m`, `2h`, `1d 12h`, or `ever`.
    #[arg(long = "for", value_name = "TIME", value_parser = span, default_value = "24h")]
    pub length: Span,
    /// Why, for whoever comes to it; at most 500 letters.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: Option<String>,
    /// Print nothing but what failed, and warnings.
    #[arg(long, short)]
    pub quiet: bool,
}

/// `release`.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// The stack, or the repository as it was watched.
    #[arg(value_name = "STACK|SOURCE")]
    pub subject: String,
    /// Print nothing but what failed, and warnings.
    #[arg(long, short)]
    pub quiet: bool,
}

/// `rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The stack.
    #[arg(value_name = "STACK")]
    pub stack: String,
    /// The commit of the version, or its first digits.
    #[arg(long, value_name = "COMMIT")]
    pub to: Option<String>,
    /// Why, for whoever comes to it.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub reason: Option<String>,
    /// Keep it whatever the source says, until it is released.
    #[arg(long)]
    pub pin: bool,
    /// Go back though bindings have changed since: their files stay as they are.
    #[arg(long)]
    pub without_bindings: bool,
    /// Print nothing but what failed, and warnings.
    #[arg(long, short)]
    pub quiet: bool,
}

/// `status`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct StatusArgs {
    /// One stack with its services, tasks, nodes, errors, and the newest of its history; everything without it.
    pub stack: Option<String>,
    /// Print JSON with stable field names.
    #[arg(long, conflicts_with = "diff")]
    pub json: bool,
    /// Show the file docker was given for each stack, without what looks like a secret.
    #[arg(long, conflicts_with = "diff")]
    pub rendered: bool,
    /// Show, of stacks that failed, how the file differs from the one applied last.
    #[arg(long)]
    pub diff: bool,
    /// End with 3 also where a hold, or `drift: report`, leaves something other than Git says.
    #[arg(long)]
    pub exit_code: bool,
    /// Draw it again every 2 seconds, until Ctrl-C; on a terminal only.
    #[arg(long, short, conflicts_with_all = ["json", "rendered", "diff", "exit_code"])]
    pub watch: bool,
}

/// `history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// The stack.
    pub stack: String,
    /// Show how a version differs from the one before; the newest is 1.
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1")]
    pub diff: Option<u16>,
    /// Print JSON with stable field names.
    #[arg(long, conflicts_with = "diff")]
    pub json: bool,
}

/// `events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// A stack, an image, or a repository with its stacks; everything without one.
    #[arg(value_name = "STACK|SOURCE")]
    pub subject: Option<String>,
    /// Events from then on: `2h` ago, or a time like `2026-11-23T07:00:00Z`; the newest 50 without it.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Go on with what happens from now on.
    #[arg(long, short)]
    pub follow: bool,
    /// Print a JSON object a line, with stable field names.
    #[arg(long)]
    pub json: bool,
}

/// `logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The stack.
    pub stack: String,
    /// A service of it, with or without the stack's name; all without it.
    pub service: Option<String>,
    /// The last lines of each service: a number, or `all`; 100, and with `--since` all.
    #[arg(long, value_name = "LINES")]
    pub tail: Option<String>,
    /// Lines from then on: `10m` ago, or a time like `2026-11-23T07:00:00Z`.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Go on with what is printed from now on.
    #[arg(long, short)]
    pub follow: bool,
    /// Print a JSON object a line, with stable field names.
    #[arg(long)]
    pub json: bool,
}

/// `validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// The folder that `stacks.yaml` lies in.
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// Say what a merge into this branch, tag or commit would do.
    #[arg(long, value_name = "REF")]
    pub diff: Option<String>,
    /// Print JSON with stable field names.
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,
    /// Print a comment for a merge request, of at most 60,000 characters.
    #[arg(long)]
    pub markdown: bool,
    /// Write mistakes to this file, as GitLab's Code Quality report.
    #[arg(long, value_name = "FILE")]
    pub code_quality: Option<PathBuf>,
    /// Take a variable that a compose file requires (`${X:?}`) and `.env` does not have for a mistake.
    #[arg(long)]
    pub strict: bool,
    /// Hold it to this policy, as `DOCKEROPS_POLICY` does on a manager.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// The source by whose rules; `origin` of the repository without it.
    #[arg(long, value_name = "URL", requires = "policy")]
    pub source: Option<String>,
}

/// `completion`.
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// The shell.
    pub shell: Shell,
}

/// The shells that the command line can be completed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// A command; the whole program without it.
    pub command: Option<String>,
}

/// `stop`.
#[derive(Debug, Args)]
pub struct StopArgs {
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
    /// Print nothing but what failed, and warnings.
    #[arg(long, short)]
    pub quiet: bool,
}
