//! When a key counts: now, and when what is signed says to have been made.

use chrono::TimeDelta;

use super::{Lab, PATH, Signers, now};
use crate::signature::window::time;

#[test]
fn a_key_counts_within_its_time_and_no_date_helps_an_old_one() {
    let lab = Lab::new();
    let ann = lab.key("ann", &["ed25519"]);
    let with = |options: &str| lab.signers(&format!("ann@h {options} {ann}\n"));
    let (fresh, of_2019) = (lab.commit("ann"), lab.commit_at("ann", "2019-06-01T00:00:00Z"));
    let of_2099 = lab.commit_at("ann", "2099-06-01T00:00:00Z");
    // The verdict of git, which asks for the commit's date alone, is the third.
    for (options, commit, wanted, gits) in [
        ("valid-after=\"20200101Z\"", fresh, None, true),
        ("valid-after=\"20200101Z\",valid-before=\"20980101Z\"", fresh, None, true),
        ("valid-before=\"20200101Z\"", fresh, Some("expired on 2020-01-01 00:00:00 UTC"), false),
        ("valid-after=\"20980101Z\"", fresh, Some("valid from 2098-01-01 00:00:00 UTC on"), false),
        // Back-dated by whoever has an old key.
        ("valid-before=\"20200101Z\"", of_2019, Some("expired on 2020-01-01"), true),
        ("valid-after=\"20980101Z\"", of_2099, Some("valid from 2098-01-01"), true),
        (
            "valid-after=\"20200101Z\"",
            of_2019,
            Some("dated 2019-06-01 00:00:00 UTC, when that was not valid"),
            false,
        ),
        (
            "valid-before=\"20980101Z\"",
            of_2099,
            Some("dated 2099-06-01 00:00:00 UTC, when that was not"),
            false,
        ),
        ("valid-before=\"20980101Z\"", of_2019, None, true),
    ] {
        let signers = with(options);
        match (wanted, lab.verify(&signers, commit)) {
            (None, verdict) => assert_eq!(verdict.unwrap().by, "ann@h", "{options}"),
            (Some(wanted), verdict) => {
                let told = verdict.unwrap_err().to_string();
                assert!(told.contains(wanted), "{options}: {told}");
                assert!(told.contains(" of `ann@h`"), "{told}");
            }
        }
        assert_eq!(lab.git_takes(commit), gits, "{options}");
    }
    // The same signers, on another day.
    let signers = with("valid-before=\"20980101Z\"");
    let later = now() + TimeDelta::days(40_000);
    assert!(lab.verify(&signers, fresh).is_ok());
    let told = signers.verify_commit(&lab.repository, fresh, later).unwrap_err().to_string();
    assert!(told.contains("expired on 2098-01-01"), "{told}");
}

#[test]
fn keys_that_end_soon_or_did_are_told_once_and_no_others() {
    let lab = Lab::new();
    let keys = ["ann", "bob", "eve", "dan", "fay"].map(|name| lab.key(name, &["ed25519"]));
    let [ann, bob, eve, dan, fay] = &keys;
    let allowed = lab.write(
        "allowed",
        format!(
            "ann@h valid-before=\"20260131Z\" {ann}\nbob@h valid-before=\"20260201Z\" {bob}\neve@h {eve}\n\
             dan@h valid-before=\"20260110Z\" {dan}\ndan@h valid-before=\"20270101Z\" {dan}\n\
             fay@h valid-before=\"20260110Z\" {fay}\n"
        ),
    );
    let revoked = lab.write("revoked", format!("{fay}\n"));
    let signers = Signers::read(&[allowed], &[revoked], PATH.as_ref()).unwrap();
    let told = |day: &str| signers.ending(time(day, true).unwrap());
    assert_eq!(told("20251231Z"), [""; 0]);
    let soon = told("20260101Z");
    assert!(soon.len() == 1 && soon[0].contains("of `ann@h` expires on 2026-01-31 00:00 UTC"), "{soon:?}");
    let over = told("20260131000001Z").join("\n");
    assert!(
        over.contains("of `ann@h` expired on 2026-01-31") && over.contains("`bob@h` expires on"),
        "{over}"
    );
    assert!(!over.contains("dan") && !over.contains("fay") && !over.contains("eve"), "{over}");
}
