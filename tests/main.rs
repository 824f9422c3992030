//! Everything DockerOps promises, one module per command or promise.
