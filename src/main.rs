//! DockerOps: makes a Docker Swarm be what a Git repository says, and tells the truth about it.

mod fault;
mod paths;
mod redact;
mod settings;
mod signal;

fn main() {}
