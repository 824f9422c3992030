use super::*;
use crate::report::status::LiveService;

#[test]
fn what_one_service_has_too_many_is_not_what_another_lacks() {
    let service = |running, wanted| LiveService {
        name: "web_app".into(),
        image: String::new(),
        completed: 0,
        running,
        wanted,
        restarts: 0,
        last_restart: None,
        error: None,
    };
    let told = |services| tasks(&Stack { services, ..Stack::of("web") });
    assert_eq!(told(vec![service(3, 1), service(0, 2)]), "1/3, 2 surplus");
    assert_eq!(told(vec![service(1, 3)]), "1/3");
    assert_eq!(told(Vec::new()), "-");
}

#[test]
fn what_a_task_died_of_is_told_once_and_where_there_is_more() {
    let service = |error: Option<&str>| LiveService {
        name: "web_app".into(),
        image: String::new(),
        completed: 0,
        running: 0,
        wanted: 1,
        restarts: 0,
        last_restart: None,
        error: error.map(str::to_owned),
    };
    let told = |stack: Option<&str>, task: Option<&str>| {
        let error = stack.map(str::to_owned);
        let (status, health, services) = (StackState::Error, Health::Error, vec![service(task)]);
        let stack = Stack { status, error, health, services, ..Stack::of("web") };
        wrongs(
            &Status {
                repositories: Vec::new(),
                stacks: vec![stack],
                images: Vec::new(),
                builds: Vec::new(),
                under_way: Vec::new(),
            },
            None,
        )
    };
    let hint = "\nhint: `docker service ps --no-trunc web_app` and `docker service logs web_app` tell more\n";
    let paused = "`web_app`: update paused: no such image (on `node1`)";
    assert_eq!(told(None, None), "");
    assert_eq!(told(Some(paused), Some("no such image (on `node1`)")), format!("\nweb: {paused}{hint}"));
    assert_eq!(told(None, Some("exit (3)")), format!("\nweb: `web_app`: exit (3){hint}"));
    let both = told(Some("rolled back: exit (3)"), Some("exit (4)"));
    assert_eq!(both, format!("\nweb: rolled back: exit (3)\nweb: `web_app`: exit (4){hint}"));
}
#[test]
fn what_is_simply_deployed_is_counted_once_all_of_it_is_long() {
    let stack = |name: String| Stack { hash: "h".into(), ..Stack::of(&name) };
    let of = |count: usize| Status {
        stacks: (0..count).map(|number| stack(format!("web{number}"))).collect(),
        ..Status::default()
    };
    let told = brief(&of(19), None);
    assert_eq!((told.lines().count(), told.contains("tells all")), (20, false), "{told}");
    assert_eq!(brief(&of(20), None), "20 stacks deployed in full; `dockerops status` tells all\n");
    let mut status = of(30);
    status.stacks[7].drift.push(status::DriftedService { service: "web7_app".into(), what: "x".into() });
    status.stacks[9].hold = Some(crate::report::holds::StackHold::of_hand("held"));
    let told = brief(&status, None);
    let lines: Vec<_> = told.lines().collect();
    assert!(lines[1].starts_with("web7   deployed, drifted  ") && lines[2].starts_with("web9   "), "{told}");
    assert_eq!(lines[3..], ["", "and 28 stacks deployed in full; `dockerops status` tells all"], "{told}");
    assert_eq!(several(1, "repository") + &several(2, "repository"), "1 repository2 repositories");
}

/// A terminal of 80 columns, twelve minutes after noon.
fn reader() -> Reader {
    let screen = crate::report::screen::Screen { columns: 80, rows: 24 };
    Reader { screen, now: "2026-11-23T12:12:00Z".parse().unwrap() }
}

fn repository(url: &str) -> Repository {
    Repository {
        url: url.into(),
        source: crate::source::SourceUrl::from(url).id(),
        commit: Some("a1b2c3d4e5f6a7b8".into()),
        last_watch: "2026-11-23T12:11:20Z".into(),
        error: None,
        hold: None,
    }
}

#[test]
fn a_terminal_gets_ages_and_what_fits_and_a_pipe_gets_all_of_it() {
    let (one, two) =
        ("https://git.example.org/organisation/infra", "https://git.example.org/other/shop#main:deploy");
    let stack = |name: &str, repository: &str| Stack {
        repository: repository.into(),
        commit: Some("a1b2c3d4e5f6a7b8".into()),
        converged: Some("2026-11-23T12:00:00Z".into()),
        ..Stack::of(name)
    };
    let image = format!("registry.example.org/app:1@sha256:{}", "0123456789abcdef".repeat(4));
    let mut status = Status {
        repositories: vec![repository(one), repository(two)],
        stacks: vec![stack("web", one), stack("db", two)],
        images: vec![status::Image { name: image.clone(), reference_count: 2 }],
        ..Status::default()
    };
    let told = text(&status, Some(reader()));
    let lines: Vec<_> = told.lines().collect();
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{told}");
    assert_eq!(lines[0], "REPOSITORY                                      COMMIT    AGE");
    assert_eq!(lines[2], "https://git.example.org/other/shop#main:deploy  a1b2c3d4  40 s");
    assert_eq!(lines[4], "STACK  STATUS    TASKS  COMMIT    AGE     REPOSITORY");
    assert_eq!(lines[5], "web    deployed  -      a1b2c3d4  12 min  infra");
    assert_eq!(lines[6], "db     deployed  -      a1b2c3d4  12 min  shop#main:deploy");
    assert_eq!(lines[9], "registry.example.org/app:1@01234567  2");
    let piped = text(&status, None);
    for whole in [
        "  a1b2c3d4e5f6  2026-11-23T12:11:20Z\n",
        "LAST WATCH",
        "  a1b2c3d4e5f6  2026-11-23T12:00:00Z  https://git",
        &image,
    ] {
        assert!(piped.contains(whole), "no {whole}: {piped}");
    }
    // Of one repository the first table tells.
    status.repositories.truncate(1);
    status.stacks.truncate(1);
    let told = text(&status, Some(reader()));
    assert_eq!(told.lines().nth(3), Some("STACK  STATUS    TASKS  COMMIT    AGE"), "{told}");
}

#[test]
fn a_repository_is_called_by_so_much_that_no_other_one_is() {
    let all = ["https://h/a/infra", "https://h/b/infra", "git@h:infra#x", "/srv/git/shop"];
    let name = |url| nickname(url, &all);
    assert_eq!(all.map(name), ["a/infra", "b/infra", "infra#x", "shop"]);
    assert_eq!(nickname("x", &["x"]), "x");
}

#[test]
fn how_long_something_lasts_is_an_age_at_a_terminal_only() {
    let stack = Stack {
        health: Health::Degraded,
        why: Some("1/2 tasks run".into()),
        degraded_since: Some("2026-11-23T12:00:00Z".into()),
        ..Stack::of("web")
    };
    let status = Status { stacks: vec![stack], ..Status::default() };
    assert_eq!(wrongs(&status, Some(reader().now)), "\nweb: degraded for 12 min: 1/2 tasks run\n");
    assert_eq!(wrongs(&status, None), "\nweb: degraded since 2026-11-23T12:00:00Z: 1/2 tasks run\n");
}
