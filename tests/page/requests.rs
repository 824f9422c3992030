//! The forms of the page as requests: which are taken, and what is told of those that are not.

use serde_json::{Value, json};

use super::forms::{Origin, WRITE};
use crate::support::dockerops::DockerOps;
use crate::support::fake_docker::FakeDocker;
use crate::support::http::{Answer, Site, TOKEN};
use crate::support::lab::lab;
use crate::support::wait_for;

/// A daemon without a Swarm.
fn idle(origin: &Origin) -> (DockerOps, FakeDocker, Site) {
    watching(&origin.bare().display().to_string(), "")
}

/// It watches these, and pushes to these branches.
fn watching(repos: &str, branch: &str) -> (DockerOps, FakeDocker, Site) {
    let fake = FakeDocker::of_an_empty_swarm();
    let ops = DockerOps::without_docker().with_fake(&fake).env("DOCKEROPS_REPOS", repos).that_listens();
    let ops = ops.env("DOCKEROPS_WRITE_TOKEN", WRITE).env("DOCKEROPS_WRITE_BRANCH", branch);
    let site = ops.site();
    (ops, fake, site)
}

fn signed(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

fn get(site: &Site, path: &str) -> Answer {
    site.send("GET", path, &[&signed(WRITE)], b"")
}

/// What a form holds of itself.
#[track_caller]
fn hidden(page: &Answer, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let rest = page.body.split_once(&start).unwrap_or_else(|| panic!("no {name}: {page:?}")).1;
    rest.split('"').next().unwrap().to_owned()
}

fn post(site: &Site, path: &str, fields: &[(&str, &str)], headers: &[&str]) -> Answer {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let token = signed(WRITE);
    let headers: Vec<_> = if headers.iter().any(|it| it.starts_with("Authorization")) {
        headers.to_vec()
    } else {
        [headers, &[&*token]].concat()
    };
    site.send("POST", path, &headers, body.as_bytes())
}

#[test]
fn forms_are_taken_from_their_own_visit_alone() {
    let origin = Origin::new("app");
    let (_ops, _fake, site) = idle(&origin);
    for path in ["/new/blog", "/stacks/idle/edit", "/stacks/idle/remove"] {
        let asks = |headers: &[&str]| site.send("GET", path, headers, b"");
        assert!(asks(&[]).is(401).head.to_lowercase().contains("www-authenticate: basic"));
        asks(&[&signed(TOKEN)]).is(403).has("not write").has("<main");
        let page = get(&site, path);
        assert!(
            page.head.contains("default-src 'none'") && page.head.contains("script-src 'self'"),
            "{page:?}"
        );
        let send = |headers: &[&str]| post(&site, path, &[("name", "mine"), ("step", "commit")], headers);
        send(&["Authorization: Basic eDp5"]).is(401);
        send(&[&signed(TOKEN)]).is(403).has("not write");
        for strange in ["Origin: https://evil.example", "Sec-Fetch-Site: cross-site"] {
            send(&[strange]).is(403).has("nother site's page");
        }
        site.send("PUT", path, &[&signed(WRITE)], b"").is(404);
    }
    // Who signed in to act is asked again where that does not do.
    let as_operator = [&*signed(TOKEN)];
    site.send("GET", "/", &as_operator, b"").is(200).has("sign-in?write");
    site.send("GET", "/sign-in", &as_operator, b"").is(303);
    site.send("GET", "/sign-in?write", &as_operator, b"").is(401);
    get(&site, "/sign-in?write").is(303);
    // A link to a form may stand anywhere; one that makes the daemon fetch may not.
    let from_elsewhere = [&*signed(WRITE), "Sec-Fetch-Site: cross-site"];
    site.send("GET", "/new/blog", &from_elsewhere, b"").is(200);
    site.send("GET", "/stacks/idle/remove", &from_elsewhere, b"").is(403);

    let visit = hidden(&get(&site, "/new/blog"), "visit");
    let typed = [("name", "mine"), ("option-TITLE", "typed <here>"), ("step", "commit")];
    let with = |visit: &str, headers: &[&str]| {
        post(&site, "/new/blog", &[&typed[..], &[("visit", visit)]].concat(), headers)
    };
    let basic = "Authorization: Basic YW5uOmEtd3JpdGUtdG9rZW4tb2YtdGhlLXRlc3Rz";
    for refused in [
        post(&site, "/new/blog", &typed, &[]),
        with("", &[]),
        with(&format!("{visit}0"), &[]),
        with(&visit, &[basic]),
    ] {
        refused.is(403).has("not of this visit").has("value=\"mine\"").has("value=\"typed &lt;here&gt;\"");
    }
    let remove = post(&site, "/stacks/idle/remove", &[("step", "commit")], &[]);
    remove.is(403).has("not of this visit").has("Remove it");
    assert_eq!(origin.commits(), 1);
    // The refused form is one of this visit now.
    let again = hidden(&with("", &[]), "visit");
    let made = with(&again, &[]);
    assert!(made.is(303).head.contains("location: ../?job="), "{made:?}");
    assert_eq!(origin.commits(), 2);
    // Pressed twice: the second answer leads where the first one did.
    assert!(with(&visit, &[]).is(303).head.contains("location: ../?job="));
    assert_eq!(origin.commits(), 2);
    let mut preview = typed.to_vec();
    preview[2] = ("step", "preview");
    post(&site, "/new/blog", &[&preview[..], &[("visit", &*visit)]].concat(), &[])
        .is(200)
        .has("It is so already");
}

#[test]
fn what_stops_a_commit_is_told_above_the_form_and_nothing_is_lost() {
    let origin = Origin::new("app");
    let (_ops, _fake, site) = idle(&origin);
    let visit = hidden(&get(&site, "/new/blog"), "visit");
    let send = |path: &str, fields: &[(&str, &str)]| {
        post(&site, path, &[&[("visit", &*visit)], fields].concat(), &[])
    };

    let wrong =
        [("name", "My Blog"), ("option-COPIES", "9"), ("option-HOST", "NO"), ("option-DEBUG", "perhaps")];
    let told = send("/new/blog", &wrong);
    told.is(422)
        .has("is more than 3")
        .has("<code>TITLE</code> is required")
        .has("neither")
        .has("value=\"My Blog\"");
    assert_eq!(told.body.matches("autofocus").count(), 1, "{told:?}");
    send("/new/blog", &[("name", "idle"), ("option-TITLE", "x")])
        .is(409)
        .has("already")
        .has("id=\"wrong-name\"");
    send("/new/wiki", &[("name", "w")]).is(409).has("is wrong");
    send("/new/none", &[("name", "w")]).is(404);
    get(&site, "/stacks/none/edit").is(404);
    get(&site, "/stacks/idle/edit").is(200).has("href=\"?template=blog\"");
    get(&site, "/stacks/idle/edit?template=blog").is(200);
    let refused = send("/stacks/idle/edit?template=blog", &[("option-TITLE", "kept")]);
    refused.is(409).has("not made from a template").has("name=\"overwrite\"").has("value=\"kept\"");

    let notes = get(&site, "/new/notes");
    notes.is(200).has("&lt;script&gt;").has("not the secret itself");
    // Of the page's own there is one.
    assert_eq!(notes.body.matches("<script").count(), 1, "{notes:?}");
    notes.has("<script src=\"../form.js\" defer>");
    site.send("GET", "/form.js", &[], b"").is(200).has("addEventListener");

    let made = [("name", "mine"), ("option-TITLE", "one"), ("option-COPIES", "0"), ("step", "commit")];
    send("/new/blog", &made).is(303);
    wait_for("the sync", 60, || get(&site, "/stacks/mine/edit").status == 200);
    let form = get(&site, "/stacks/mine/edit");
    form.is(200).has("name=\"option-TITLE\" value=\"one\"");
    let seen = hidden(&form, "seen");
    // Somebody changes it meanwhile: both differences are told, and the next look is at what there is then.
    origin.push("mine/.env", "COPIES=0\nTITLE=theirs\n");
    let ours = [("option-TITLE", "ours"), ("option-COPIES", "0")];
    let told = send("/stacks/mine/edit", &[&ours[..], &[("seen", &*seen)]].concat());
    told.is(409).has("changed meanwhile").has("+TITLE=theirs").has("value=\"ours\"");
    let newer = hidden(&told, "seen");
    assert_eq!(newer, origin.git(&["rev-parse", "main"]));
    let plan = send("/stacks/mine/edit", &[&ours[..], &[("seen", &*newer)]].concat());
    plan.is(200).has("-TITLE=theirs").has("+TITLE=ours").has("value=\"commit\"");
    assert_eq!(hidden(&plan, "option-TITLE"), "ours");
    // And what becomes wrong between the preview and the button.
    origin.push("mine/.env", "COPIES=0\nTITLE=again\n");
    let told = send("/stacks/mine/edit", &[&ours[..], &[("seen", &*newer), ("step", "commit")]].concat());
    told.is(409).has("value=\"ours\"");
    let seen = hidden(&get(&site, "/stacks/mine/remove"), "seen");
    origin.push("mine/.env", "COPIES=0\nTITLE=once more\n");
    send("/stacks/mine/remove", &[("seen", &*seen), ("step", "commit")]).is(409).has("Remove it");
    // What is gone already is no alarm for who wanted it gone.
    send("/stacks/nothing/remove", &[("step", "commit")]).is(200).has("nothing is gone");
    assert_eq!(origin.git(&["log", "-1", "--format=%s", "main"]), "by hand");
    let end: Value = json!(origin.git(&["show", "main:mine/.env"]));
    assert_eq!(end, "COPIES=0\nTITLE=once more");
}

#[test]
fn of_several_repositories_one_is_named_and_what_goes_to_its_own_branch_deploys_nothing() {
    let (near, far) = (Origin::new("app"), Origin::of("app", ["far", "further"]));
    let urls = [&near, &far].map(|origin| origin.bare().display().to_string());
    let (_ops, _fake, site) = watching(&urls.join(","), "dockerops/{stack}");
    let asks = get(&site, "/new/blog");
    asks.is(200).has("Which repository is the stack for?");
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("repository", &urls[1]).finish();
    asks.has(&format!("href=\"?{query}\""));
    get(&site, "/").is(200).has(&format!("href=\"new/blog?{query}\""));
    let path = format!("/new/blog?{query}");
    let form = get(&site, &path);
    form.is(200).has(&format!(" of {}", urls[1]));
    let visit = hidden(&form, "visit");
    let fields = [("visit", &*visit), ("name", "mine"), ("option-TITLE", "x"), ("step", "commit")];
    // A name is taken by any of them.
    let taken = [&fields[..1], &[("name", "idle"), ("option-TITLE", "x")]].concat();
    post(&site, &path, &taken, &[]).is(409).has("id=\"wrong-name\"").has(&urls[0]);
    post(&site, &path, &fields, &[])
        .is(200)
        .has("Pushed to dockerops/mine")
        .has("merged into <code>main</code>");
    assert_eq!((near.commits(), far.commits()), (1, 1));
    assert_eq!(far.git(&["show", "dockerops/mine:mine/.env"]), "TITLE=x");
}

#[test]
fn a_commit_leads_to_its_job_and_that_to_the_last_lines_of_what_failed() {
    let Some(lab) = lab() else { return };
    let origin = Origin::sick(&lab.image("app:1"));
    let ops = DockerOps::new(lab).env("DOCKEROPS_DEPLOY_TIMEOUT", "5").env("DOCKEROPS_REPOS", origin.bare());
    let ops = ops.that_listens().env("DOCKEROPS_WRITE_TOKEN", WRITE);
    let (name, site) = (ops.unique("sick"), ops.site());
    let visit = hidden(&get(&site, "/new/sick"), "visit");
    let fields = [("visit", &*visit), ("name", &*name), ("option-WHAT", "gone"), ("step", "commit")];
    let made = post(&site, "/new/sick", &fields, &[]);
    let location = made.is(303).head.split("location: ..").nth(1).unwrap().lines().next().unwrap().to_owned();
    assert!(location.starts_with("/?job=") && location.ends_with(&format!("&stack={name}")), "{location}");
    wait_for("the job", 90, || !get(&site, &location).is(200).body.contains("data-busy"));
    let page = get(&site, &location);
    page.has("class=\"job\" data-tone=\"bad\"").has("did not converge within 5 s").has("| the disk is gone");
    assert!(!page.body.contains("http-equiv=\"refresh\""), "{page:?}");
}
