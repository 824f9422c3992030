//! DockerOps: makes a Docker Swarm be what a Git repository says, and tells the truth about it.

#![allow(dead_code)]
mod compose;
mod docker;
mod fault;
mod image;
mod lock;
mod manifest;
mod paths;
mod problem;
mod process;
mod redact;
mod settings;
mod signal;
mod stack;
mod state;
mod yaml;

fn main() {}
