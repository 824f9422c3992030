//! The command line, as types; nothing is done here.

mod arguments;

use clap::{Parser, Subcommand};

pub use arguments::*;

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
        */5 * * * *  root  dockerops reconcile --quiet\n\
        What it would do, in which lines the files differ, and all again from scratch:\n  \
        sudo dockerops reconcile --dry-run\n  \
        sudo dockerops reconcile --dry-run --diff\n  \
        sudo dockerops reconcile --dry-run --exit-code\n  \
        sudo dockerops reconcile --force\n\
        Some stacks, or all of a repository, and nothing else:\n  \
        sudo dockerops reconcile web db\n  \
        sudo dockerops reconcile https://github.com/org/repo --force\n\
        What happened to each stack, for scripts:\n  \
        sudo dockerops reconcile --json | jq '.stacks[] | select(.outcome == \"failed\")'\n\n\
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
    #[command(
        after_help = "It reads while another run works. One stack in full, and what goes on, drawn every 2 seconds:\n  \
        sudo dockerops status web\n  \
        sudo dockerops status --watch\n\n\
        For scripts:\n  \
        sudo dockerops status --json | jq '.stacks[] | select(.status == \"error\")'\n  \
        sudo dockerops status --exit-code > /dev/null || echo 'not all is as Git says'"
    )]
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
    /// Show what happened: deploys, failures, removals, holds, newest last; changes nothing.
    #[command(after_help = "Of everything, of one stack, and as it happens:\n  \
        sudo dockerops events\n  \
        sudo dockerops events web --since 2h\n  \
        sudo dockerops events --follow\n  \
        sudo dockerops events --since 1d --json | jq -r 'select(.level == \"error\") | .message'\n\n\
        It asks the database alone, which keeps the newest 10,000, and works while another run does. Times are ages on a \
        terminal, and UTC elsewhere. --follow ends with Ctrl-C (exit 130).")]
    Events(EventsArgs),
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
