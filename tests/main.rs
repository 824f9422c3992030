//! Everything DockerOps promises, one module per command or promise.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]
#![allow(
    clippy::disallowed_methods,
    reason = "tests start programs and are told of their lab by the environment"
)]

mod lab;
mod readme;
#[allow(dead_code, reason = "made for all the tests, also those to come")]
mod support;
