//! `version`: needs neither root, docker nor a database.

/// Prints version and repository.
pub fn run() {
    println!("dockerops {}", env!("CARGO_PKG_VERSION"));
    println!("{}", env!("CARGO_PKG_REPOSITORY"));
}
