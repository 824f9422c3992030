//! Runs that are killed at any moment of mixed work: the next one makes it good.

use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::scene::{App, Scene, compose};

/// A small generator: the same seed is the same story.
struct Dice(u64);

impl Dice {
    fn pick(&mut self, sides: usize) -> usize {
        usize::try_from(self.roll(u64::try_from(sides).unwrap())).unwrap()
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What the repository lists by now: each stack with the value that its service has.
struct Story {
    scene: Scene,
    stacks: Vec<(String, Option<u64>)>,
    dice: Dice,
}

impl Story {
    fn app(&self, value: u64) -> App {
        // Some have a task, so that kills meet a wait.
        let app = if value.is_multiple_of(3) { self.scene.on() } else { self.scene.off() };
        app.with(format!("environment: {{VALUE: '{value}'}}"))
    }

    /// Changes, lists or drops some stacks in one commit.
    fn push(&mut self, step: u64) {
        for _ in 0..=self.dice.roll(2) {
            let (at, dropped) = (self.dice.pick(self.stacks.len()), self.dice.roll(4) == 0);
            self.stacks[at].1 = (!dropped).then_some(step);
        }
        let listed: Vec<_> = self.stacks.iter().filter_map(|(name, value)| Some((name, (*value)?))).collect();
        let mut list = String::new();
        for (at, (name, value)) in listed.iter().enumerate() {
            self.scene.repo.stack(name, &compose([("app", &self.app(*value))]));
            // A chain of what depends on what.
            let on = at.checked_sub(1).map(|before| format!("\n  depends_on: [{}]", listed[before].0));
            list += &format!("- name: {name}{}\n", on.unwrap_or_default());
        }
        if list.is_empty() {
            list = "[]\n".into();
        }
        self.scene.repo.write("stacks.yaml", list).commit(&format!("step {step}"));
    }

    /// Everything is as the repository says, and stays so.
    #[track_caller]
    fn is_made_good(&self) {
        let outcome = self.scene.reconcile();
        assert_eq!(outcome.code, 0, "{outcome}");
        for (name, value) in &self.stacks {
            let services = self.scene.lab.services(name);
            let Some(value) = value else {
                assert_eq!(services, [""; 0], "it was dropped");
                continue;
            };
            assert_eq!(services, [format!("{name}_app")]);
            let environment = self.scene.lab.spec(&services[0], "json .Spec.TaskTemplate.ContainerSpec.Env");
            assert_eq!(environment, format!(r#"["VALUE={value}"]"#));
        }
        let check: String =
            self.scene.ops.db().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
        self.scene.reconcile().success().stdout_lacks("deployed,").stdout_has("unchanged");
        assert_eq!(self.scene.deploys(), [""; 0]);
        assert!(self.scene.ops.checkouts().is_empty(), "{:?}", self.scene.ops.checkouts());
    }
}

/// `DOCKEROPS_KILLS=200 DOCKEROPS_SEED=7` makes a longer story of it.
#[test]
fn runs_that_are_killed_at_any_moment_of_mixed_work_are_made_good() {
    let Some(scene) = Scene::new() else { return };
    let mut scene = scene.timeout(60);
    scene.ops = scene.ops.limit(120);
    let (kills, seed) = (number("DOCKEROPS_KILLS", 12), number("DOCKEROPS_SEED", 1));
    let stacks = (0..5).map(|n| (scene.ops.unique(&format!("kill{n}")), Some(0))).collect();
    let mut story = Story { scene, stacks, dice: Dice(seed) };
    story.push(0);
    story.scene.run(&["watch", &story.scene.repo.url()]).success();
    for step in 1..=kills {
        story.push(step);
        let run = story.scene.ops.spawn(["reconcile"]);
        sleep(Duration::from_millis(story.dice.roll(1_800)));
        run.signal(Signal::KILL);
        run.wait();
        if step.is_multiple_of(10) {
            story.is_made_good();
        }
    }
    story.is_made_good();
}
