//! The command line, as types; nothing is done here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::reason::reason;
use crate::span::{Span, span};

/// Makes a Docker Swarm be what a Git repository says, and tells the truth about it.
#[derive(Debug, Parser)]
#[command(
    name = "dockerops",
    version,
    propagate_version = true,
    after_help = "Begin with:\n  \
                  sudo dockerops watch https://github.com/org/repo\n  \
                  sudo dockerops reconcile\n\n\
                  Exit codes: 0 done or nothing to do, 1 failed or nothing watched, 2 usage, 3 some stacks failed or \
                  are degraded and the others are fine, 4 another run holds the lock, 5 a dry run with --exit-code would change \
                  something, 128+n ended by signal n."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Deploy a repository's stacks, and remember the repository.
    #[command(after_help = "A source is URL[#ref[:dir]]:\n  \
        sudo dockerops watch https://github.com/org/repo\n  \
        sudo dockerops watch git@host:org/repo.git#v1.2\n  \
        sudo dockerops watch https://github.com/org/repo#main:environments/prod\n\n\
        What that would do, to see it first; nothing is deployed, and nothing remembered:\n  \
        sudo dockerops watch --dry-run https://github.com/org/repo\n\n\
        Everything in it is validated first. A source that cannot be fetched, or is wrong as a whole, is not \
        remembered and nothing of it is deployed; one with a stack that fails, or whose files are wrong, is (exit \
        3), and `reconcile` tries again.\n\
        Private repositories: GITHUB_TOKEN, DOCKEROPS_GIT_CREDENTIALS, or an ssh key.")]
    Watch(WatchArgs),
    /// Sync every watched repository with the Swarm.
    #[command(after_help = "From cron, every five minutes:\n  \
        */5 * * * *  root  dockerops reconcile\n\
        What it would do, in which lines the files differ, and all again from scratch:\n  \
        sudo dockerops reconcile --dry-run\n  \
        sudo dockerops reconcile --dry-run --diff\n  \
        sudo dockerops reconcile --dry-run --exit-code\n  \
        sudo dockerops reconcile --force\n\
        Some stacks, or all of a repository, and nothing else:\n  \
        sudo dockerops reconcile web db\n  \
        sudo dockerops reconcile https://github.com/org/repo --force\n\n\
        Idle, it costs one ls-remote a repository and three docker calls. It exits with 3 if a stack or a source \
        failed, or a stack is degraded.\n\
        Services that were removed, scaled or edited by hand are put back (`drift: correct` in stacks.yaml).")]
    Reconcile(ReconcileArgs),
    /// Remove a repository's stacks, and forget the repository.
    #[command(after_help = "Volumes stay, always. To hand the stacks over and leave them running:\n  \
        sudo dockerops unwatch --keep-stacks https://github.com/org/repo")]
    Unwatch(UnwatchArgs),
    /// Keep a stack, or all stacks of a repository, as they are.
    #[command(after_help = "Until the fix is there, and everybody sees why:\n  \
        sudo dockerops hold web --reason 'the new version loses orders'\n  \
        sudo dockerops hold web --for 2h\n  \
        sudo dockerops hold https://github.com/org/repo --for ever --reason 'moving house'\n\n\
        Nothing of it is deployed, rolled, put back or removed; what runs is watched as ever, and drift is only \
        reported. It ends by itself after 24 hours unless `--for` says otherwise.")]
    Hold(HoldArgs),
    /// End a hold.
    #[command(after_help = "What it kept back is done by the next sync:\n  \
        sudo dockerops release web\n  \
        sudo dockerops reconcile")]
    Release(ReleaseArgs),
    /// Run an earlier version of a stack again, and keep it.
    #[command(
        after_help = "The version that ran before the one that runs, or failed; see `dockerops history web`:\n  \
        sudo dockerops rollback web --reason 'loses orders'\n  \
        sudo dockerops rollback web --to 1f3a9c\n\n\
        It runs by the images it ran by then, whatever their tags name now, and the stack is held: until its source has \
        another version of it than the one that was fled, with `--pin` until `dockerops release web`. Volumes, and \
        the files of bindings, do not go back."
    )]
    Rollback(RollbackArgs),
    /// Show what is watched, deployed, drifted and failed, and why; changes nothing.
    #[command(after_help = "It reads while another run works. For scripts:\n  \
        sudo dockerops status --json | jq '.stacks[] | select(.status == \"error\")'\n  \
        sudo dockerops status --exit-code > /dev/null || echo 'not all is as Git says'")]
    Status(StatusArgs),
    /// Show the versions of a stack that converged; changes nothing.
    #[command(
        after_help = "What ran when, why it came, and what it changed; counted from the newest, 1:\n  \
        sudo dockerops history web\n  \
        sudo dockerops history web --diff\n  \
        sudo dockerops history web --diff 3\n  \
        sudo dockerops history web --json | jq -r '.versions[].commit'\n\n\
        IMAGES are those that a version brought, by the first digits of their digests. It asks the database alone, and \
        works while another run does."
    )]
    History(HistoryArgs),
    /// Show what the services of a stack print.
    #[command(after_help = "All services of a stack, or one of them:\n  \
        dockerops logs web\n  \
        dockerops logs web app --since 10m\n  \
        dockerops logs web app --tail 5 --follow\n\n\
        Each line says whose it is: `web_app.1@node1 | line`. It needs no root, only a docker that lets you in; root's \
        database is asked where the labels of the services do not tell whose the stack is.\n\
        --follow ends with Ctrl-C (exit 130), and when the stack is removed.")]
    Logs(LogsArgs),
    /// Remove every stack and image that DockerOps manages, and empty its database.
    #[command(after_help = "It asks first on a terminal; elsewhere:\n  \
        sudo dockerops stop --yes\n\n\
        Volumes stay, always. Images that were on this node before DockerOps stay too.")]
    Stop(StopArgs),
    /// Keep the Swarm as the watched repositories say, until it is told to end.
    #[command(
        after_help = "It watches DOCKEROPS_REPOS, then syncs every DOCKEROPS_SYNC_INTERVAL seconds:\n  \
        sudo dockerops run\n  \
        sudo DOCKEROPS_REPOS='https://github.com/org/repo#main' dockerops run\n\n\
        SIGHUP syncs now; SIGTERM ends it within 10 s, after the docker call that is under way, with exit 0.\n\
        Every other command works beside it, turn by turn: one that gets none within 10 s exits with 4 and says who \
        holds the lock. `status` works at any time."
    )]
    Run,
    /// Check a folder as `watch` would, and say what a merge of it would do; touches nothing.
    #[command(after_help = "It needs neither root, docker, a network nor a database:\n  \
        dockerops validate\n  \
        dockerops validate environments/prod --strict\n\
        What is on disk counts, committed or not. Variables of the daemon's environment are listed; `.env` files \
        count.\n\
        What a merge into main would do, for people and as a comment:\n  \
        dockerops validate --diff origin/main\n  \
        dockerops validate --diff origin/main --markdown > comment.md\n\n\
        Exit codes: 0 right, 1 wrong, 2 usage. In GitHub Actions mistakes are annotations too; for GitLab \
        --code-quality writes its report.")]
    Validate(ValidateArgs),
    /// Show the repositories in the cache and when each was last watched.
    #[command(after_help = "It asks neither docker nor git, and works while another run does:\n  \
        sudo dockerops debug-cache")]
    DebugCache,
    /// Print what a shell needs to complete the command line.
    #[command(
        after_help = "It needs neither root, docker nor a database. The installer puts it in place; by hand:\n  \
        dockerops completion bash | sudo tee /etc/bash_completion.d/dockerops >/dev/null\n  \
        dockerops completion zsh > ~/.zfunc/_dockerops\n  \
        dockerops completion fish > ~/.config/fish/completions/dockerops.fish"
    )]
    Completion(CompletionArgs),
    /// Print the manual page, of the program or of a command, as `man` reads it.
    #[command(after_help = "It needs neither root, docker nor a database. To read, and to install:\n  \
        dockerops man | man -l -\n  \
        dockerops man rollback | man -l -\n  \
        dockerops man > dockerops.1\n\n\
        The page of the program holds all commands with their options.")]
    Man(ManArgs),
    /// Show the version and where DockerOps comes from.
    #[command(after_help = "It needs neither root, docker nor a database:\n  dockerops version")]
    Version,
}

/// `watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// The repository: `URL[#ref[:dir]]`.
    pub source: String,
    /// Say what would be deployed, and touch nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// End a dry run with 5 if it would change something, and with 3 if something stays other than Git says.
    #[arg(long, requires = "dry_run")]
    pub exit_code: bool,
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
}

/// `unwatch`.
#[derive(Debug, Args)]
pub struct UnwatchArgs {
    /// The repository, as it was watched.
    pub source: String,
    /// Forget the repository and leave its stacks running.
    #[arg(long)]
    pub keep_stacks: bool,
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
}

/// `release`.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// The stack, or the repository as it was watched.
    #[arg(value_name = "STACK|SOURCE")]
    pub subject: String,
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
}

/// `status`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct StatusArgs {
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
}
