//! Everything DockerOps promises, one module per command or promise.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests start programs and are told of their lab by the environment"
)]

mod bad_manifests;
mod bad_sources;
mod binding_places;
mod bindings;
mod budget;
mod builds;
mod chaos;
mod clean;
mod commands;
mod container;
mod cost;
mod crash;
mod daemon;
mod daemon_endures;
mod database;
mod demo;
mod dependencies;
mod depends_on;
mod deploy;
mod drift;
mod dry_run;
mod environments;
mod faulty_docker;
mod fetching;
mod fidelity;
mod foreign_text;
mod health;
mod history;
mod holds;
mod hooks;
mod hostile;
mod images;
mod in_motion;
mod install;
mod install_failures;
mod isolation;
mod jobs;
mod keys;
mod killed;
mod lab;
mod last_words;
mod layers;
mod layout;
mod lock;
mod logs;
mod moves;
mod nodes;
mod objects;
mod outages;
mod output;
mod own_images;
mod ownership;
mod page;
mod policy;
mod prune;
mod readme;
mod registry;
mod registry_access;
mod release;
mod removals;
mod rollback;
mod rotation;
mod secrets;
mod secrets_stay_secret;
mod service;
mod shared_images;
mod signatures;
mod small_memory;
mod stop;
#[allow(dead_code, reason = "made for all the tests, also those to come")]
mod support;
mod swarm_stories;
mod templates;
mod terminal;
mod unattended;
mod uninstall;
mod unwatch;
mod validate;
mod web;
mod workflows;
mod writes;
