use std::ffi::OsStr;
use std::fs;

use tempfile::TempDir;

use super::policy_or;
use crate::policy::{Trust, read};

#[test]
fn every_mistake_of_a_policy_is_told_at_once() {
    let error = policy_or(
        "rules:\n- {stakcs: [a], digests: yes, mounts: [srv, '/srv/a*'], ports: [http]}\n- x\n- {privileges: {}, placement: {must: [x], odd: 1}}\n\
         - {commits: signed}\n- {keys: [a], commits: some}\n- {mounts: [/, /srv], resources: {limits: 5}, builds: maybe, images: ['[']}\nrule: []\n",
    )
    .unwrap_err();
    for wanted in [
        "policy.yaml:2: `rules 1.stakcs`: unknown key",
        "policy.yaml:2: `rules 1.digests`: must be `required` or `optional`",
        "`srv` is no absolute path",
        "has `a*`; a `*` stands for a whole part",
        "`rules 1.ports`: `http` is neither a port",
        "policy.yaml:3: `rules 2`: must be a mapping, not a string",
        "`rules 3.privileges`: must be `true`, `false` or a list of keys",
        "`x` is no constraint",
        "`rules 3.placement.odd`: unknown key",
        "`rules 4.keys`: is missing",
        "`rules 5.commits`: must be `signed` or `any`",
        "`rules 5.keys`: `a` is relative",
        "where a container may put a symlink",
        "`rules 6.resources.limits`: must be",
        "`rules 6.builds`: must be `true` or `false`",
        "`[` is no pattern",
        "`rule`: unknown key; known is `rules`",
    ] {
        assert!(error.contains(wanted), "{wanted} is not in {error}");
    }
    for (text, wanted) in [
        ("", "is empty"),
        ("rules:\n", "must be a list"),
        ("rules: []\n", "must be a list"),
        ("- a\n", "must be a mapping with `rules`"),
        ("rules: [{}]\nrules: [{}]\n", ""),
        ("rules: [", ""),
    ] {
        let error = policy_or(text).err().unwrap_or_default();
        assert!(error.contains(wanted), "{text}: {error}");
    }
    for (text, wanted) in [
        ("rules: [{}]\nrules: [{}]\n", "policy.yaml:2: `rules`: stands twice"),
        ("rules:\n- images: ['**']\n  images: [x]\n", "policy.yaml:3: `images`: stands twice"),
        ("rules:\n- placement: {may: [a], may: [b]}\n", "`may`: stands twice"),
        ("x-a: &a {ports: [1], ports: [2]}\nrules: [{<<: *a}]\n", "`ports`: stands twice"),
        ("rules: [{}]\n---\nrules: []\n", "policy.yaml:2: holds another document"),
        ("rules: [{privileges: maybe}]\n", "must be `true`, `false` or a list of keys"),
        ("rules: [{privileges: 'true'}]\n", "must be `true`, `false` or a list of keys"),
    ] {
        let error = policy_or(text).unwrap_err();
        assert!(error.contains(wanted), "{text}: {error}");
    }
    assert!(policy_or("# x\n---\nrules: [{privileges: [cap_add]}]\n").is_ok());
    assert!(policy_or("x-all: &all {stacks: [a]}\nrules: [{<<: *all}]\n").is_ok());
}

#[test]
fn who_may_write_to_a_policy_makes_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("policy.yaml");
    fs::write(&path, "rules: [{}]\n").unwrap();
    let with = |mode: u32| {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        read(&path, Trust::Root, OsStr::new("")).map_err(|error| format!("{error:#}"))
    };
    assert!(with(0o664).unwrap_err().contains("others than root"));
    assert!(with(0o602).unwrap_err().contains("others than root"));
    if rustix::process::geteuid().is_root() {
        assert!(with(0o644).is_ok());
        std::os::unix::fs::chown(&path, Some(1), None).unwrap();
        assert!(with(0o644).unwrap_err().contains("must be root's"));
    }
    assert!(read(&folder.path().join("none"), Trust::Root, OsStr::new("")).is_err());
}
