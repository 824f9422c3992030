//! What each forge is asked, and what its answers are taken for.

mod hostile;
mod server;

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::budget::Limits;
use crate::fault::{hint_of, with_hint};
use crate::settings::Purpose;
use server::{Server, to};

const TOKEN: &str = "hunter2-of-the-forge";
const PROPOSAL: Proposal<'_> = Proposal {
    head: "dockerops/web",
    base: "main",
    title: "Deploy web from nginx",
    body: "Requested by \"Ann\".\n",
};

/// Where GitHub Enterprise opens requests, GitLab, and Gitea.
const GITHUB: &str = "POST /api/v3/repos/org/repo/pulls";
const GITLAB: &str = "POST /api/v4/projects/org%2Frepo/merge_requests";
const GITEA: &str = "POST /api/v1/repos/org/repo/pulls";
/// And where each lists those that are open.
const GITHUB_LIST: &str =
    "GET /api/v3/repos/org/repo/pulls?state=open&head=org%3Adockerops%2Fweb&base=main&per_page=5";
const GITLAB_LIST: &str = "GET /api/v4/projects/org%2Frepo/merge_requests?state=opened&source_branch=dockerops%2Fweb\
                           &target_branch=main&per_page=20&page=1";
const GITEA_LIST: &str =
    "GET /api/v1/repos/org/repo/pulls?state=open&sort=recentupdate&base_branch=main&limit=5&page=1";

fn access(lines: &str, gh_host: Option<&str>) -> (tempfile::NamedTempFile, GitAccess) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines).unwrap();
    let access = GitAccess {
        purpose: Purpose::Push,
        github_token: None,
        gh_host: gh_host.map(str::to_owned),
        credentials_file: Some(file.path().into()),
        timeout: Duration::from_secs(1),
        home: None,
        limits: Limits::default(),
        kept: None,
    };
    (file, access)
}

fn forge_of(url: &str, lines: &str, gh_host: Option<&str>) -> Result<Option<Forge>> {
    let (_file, access) = access(lines, gh_host);
    Forge::of(&Source::parse(url).unwrap(), &access)
}

/// The forge of `org/repo` on this server.
fn forge(server: &Server, is_github: bool) -> Forge {
    let line = format!("http://bot:{TOKEN}@{}", server.address);
    let url = format!("http://{}/org/repo.git", server.address);
    forge_of(&url, &line, is_github.then_some(server.address.as_str())).unwrap().unwrap()
}

/// One that a server is known to be, by the line that opens a request.
fn of_kind(opens: &str, server: &Server) -> Forge {
    let named: &'static dyn Dialect = match opens {
        GITHUB => &GitHub,
        GITLAB => &GitLab,
        _ => &Gitea,
    };
    Forge { named: Some(named), ..forge(server, false) }
}

/// A pull request as GitHub and Gitea tell it.
fn pull(number: u64, head: &str, base: &str, repository: u64) -> Value {
    json!({
        "id": 1_000 + number, "number": number, "state": "open", "title": "x", "body": null,
        "html_url": format!("{{root}}/org/repo/pull/{number}"),
        "head": {"ref": head, "sha": "a", "repo": {"id": repository, "full_name": "org/repo"}},
        "base": {"ref": base, "sha": "b", "repo": {"id": 7, "full_name": "org/repo"}},
    })
}

fn merge_request(iid: u64, source: &str, target: &str, project: u64) -> Value {
    json!({
        "id": 1_000 + iid, "iid": iid, "state": "opened", "title": "x",
        "web_url": format!("{{root}}/org/repo/-/merge_requests/{iid}"),
        "source_branch": source, "target_branch": target,
        "source_project_id": project, "target_project_id": 7,
    })
}

/// The right one, with its number 3.
fn right(opens: &str) -> Value {
    if opens == GITLAB {
        merge_request(3, "dockerops/web", "main", 7)
    } else {
        pull(3, "dockerops/web", "main", 7)
    }
}

fn list(opens: &str) -> &'static str {
    match opens {
        GITHUB => GITHUB_LIST,
        GITLAB => GITLAB_LIST,
        _ => GITEA_LIST,
    }
}

/// What is told of the failure, which never holds the token.
fn failure(forge: &Forge) -> String {
    let error = forge.propose(&PROPOSAL).unwrap_err();
    let told = with_hint(&error);
    assert!(hint_of(&error).is_some(), "{told}");
    assert!(!format!("{told} {error:?}").contains(TOKEN), "{told}");
    assert!(
        told.starts_with("no request to merge `dockerops/web` into `main` could be opened at `127.0.0.1`")
    );
    told
}

#[test]
fn each_forge_is_asked_in_its_own_way_and_opens_a_request() {
    for (opens, header, wanted) in [
        (GITHUB, format!("authorization: bearer {TOKEN}"), ["head", "base", "title", "body"]),
        (
            GITLAB,
            format!("private-token: {TOKEN}"),
            ["source_branch", "target_branch", "title", "description"],
        ),
        (GITEA, format!("authorization: token {TOKEN}"), ["head", "base", "title", "body"]),
    ] {
        let server = Server::that_says([to(opens, "201 Created", &right(opens))]);
        let request = of_kind(opens, &server).propose(&PROPOSAL).unwrap();
        assert_eq!((request.number, request.opened), (3, true));
        let root = format!("http://{}/org/repo/", server.address);
        assert!(request.url.starts_with(&root) && request.url.ends_with("/3"), "{}", request.url);
        let [asked] = &server.asked()[..] else { panic!("{:?}", server.lines()) };
        assert!(asked.head.contains(&header), "{}", asked.head);
        assert!(asked.head.contains("user-agent: dockerops/"), "{}", asked.head);
        let body: Value = serde_json::from_str(&asked.body).unwrap();
        let given = [PROPOSAL.head, PROPOSAL.base, PROPOSAL.title, PROPOSAL.body];
        assert_eq!(body.as_object().unwrap().len(), given.len());
        wanted.iter().zip(given).for_each(|(key, value)| assert_eq!(body[key], value, "{key}"));
    }
}

#[test]
fn the_one_that_is_open_is_found_among_its_like_and_says_what_it_is_now() {
    let exists = "A pull request already exists for org:dockerops/web.";
    let github = json!({"message": "Validation Failed", "errors": [{"code": "custom", "message": exists}]});
    let gitlab = json!({"message": ["Another open merge request already exists for this source branch: !3"]});
    let gitea = json!({"message": "pull request already exists for these targets", "url": "x"});
    for (opens, status, said) in [
        (GITHUB, "422 Unprocessable Entity", github),
        (GITLAB, "409 Conflict", gitlab),
        (GITEA, "409 Conflict", gitea),
    ] {
        let make = if opens == GITLAB { merge_request } else { pull };
        // Of a fork, of other branches, closed.
        let mut all = json!([
            make(1, "dockerops/web", "main", 8),
            make(2, "dockerops/web2", "main", 7),
            make(4, "dockerops/web", "next", 7),
            make(5, "dockerops/web", "main", 7),
        ]);
        all[3]["state"] = "closed".into();
        all.as_array_mut().unwrap().push(right(opens));
        let (edits, text) = match opens {
            GITHUB => ("PATCH /api/v3/repos/org/repo/pulls/3", "body"),
            GITLAB => ("PUT /api/v4/projects/org%2Frepo/merge_requests/3", "description"),
            _ => ("PATCH /api/v1/repos/org/repo/pulls/3", "body"),
        };
        let answers = |edited: &str, all: &Value| {
            Server::that_says([
                to(opens, status, &said),
                to(list(opens), "200 OK", all),
                to(edits, edited, r#"{"message":"not yours"}"#),
            ])
        };
        let server = answers("200 OK", &all);
        let request = of_kind(opens, &server).propose(&PROPOSAL).unwrap();
        assert_eq!((request.number, request.opened, request.outdated), (3, false, None), "{opens}");
        assert_eq!(server.lines(), [opens, list(opens), edits]);
        let told: Value = serde_json::from_str(&server.asked()[2].body).unwrap();
        assert_eq!(told, json!({"title": PROPOSAL.title, text: PROPOSAL.body}), "{opens}");

        // One that cannot be changed is told of; one that nobody is to merge yet stays so.
        all[4]["title"] = "Draft: Remove web".into();
        let server = answers("403 Forbidden", &all);
        let request = of_kind(opens, &server).propose(&PROPOSAL).unwrap();
        let why = request.outdated.unwrap();
        assert!(why.contains("403") && why.contains("not yours"), "{why}");
        let told: Value = serde_json::from_str(&server.asked()[2].body).unwrap();
        assert_eq!(told["title"], format!("Draft: {}", PROPOSAL.title));

        // Where it says so already nothing is sent.
        (all[4]["title"], all[4][text]) = (PROPOSAL.title.into(), PROPOSAL.body.replace('\n', "\r\n").into());
        let server = answers("403 Forbidden", &all);
        assert_eq!(of_kind(opens, &server).propose(&PROPOSAL).unwrap().outdated, None);
        assert_eq!(server.lines(), [opens, list(opens)]);
    }
}

#[test]
fn a_fork_whose_repository_is_gone_is_none_of_ours() {
    let mut orphan = pull(1, "dockerops/web", "main", 7);
    orphan["head"]["repo"] = Value::Null;
    assert!(!GitHub.is_for(&orphan, &PROPOSAL));
    orphan["base"]["repo"] = Value::Null;
    assert!(!GitHub.is_for(&orphan, &PROPOSAL));
    assert!(GitHub.is_for(&pull(1, "dockerops/web", "main", 7), &PROPOSAL));
}

#[test]
fn gitea_is_asked_for_further_pages_until_one_is_empty() {
    let other = Value::from((0..5).map(|number| pull(number, "x", "main", 7)).collect::<Vec<_>>());
    let second =
        "GET /api/v1/repos/org/repo/pulls?state=open&sort=recentupdate&base_branch=main&limit=5&page=2";
    for (page, found) in [(json!([right(GITEA)]), true), (json!([]), false)] {
        let answers = [
            to(GITEA, "409 Conflict", r#"{"message":"exists"}"#),
            to(GITEA_LIST, "200 OK", &other),
            to(second, "200 OK", &page),
        ];
        let server = Server::that_says(answers);
        let forge = of_kind(GITEA, &server);
        if found {
            assert!(!forge.propose(&PROPOSAL).unwrap().opened);
        } else {
            assert!(failure(&forge).contains("answers 409 Conflict: exists"));
        }
        assert_eq!(server.lines()[..3], [GITEA, GITEA_LIST, second]);
    }
}

#[test]
fn the_host_says_which_forge_it_is_and_is_asked_when_a_request_is_opened() {
    let (gitlab, gitea) = ("GET /api/v4/version", "GET /api/v1/version");
    let knows = |line, body| to(line, "200 OK", body);
    for (answers, opens) in [
        (vec![knows(gitlab, r#"{"version":"18.1.0","revision":"abc"}"#)], GITLAB),
        (vec![to(gitlab, "401 Unauthorized", r#"{"message":"401 Unauthorized"}"#)], GITLAB),
        (vec![to(gitlab, "403 Forbidden", r#"{"error":"insufficient_scope"}"#)], GITLAB),
        (vec![knows(gitea, r#"{"version":"1.24.0"}"#)], GITEA),
        (vec![to(gitea, "401 Unauthorized", r#"{"message":"token is required","url":"x"}"#)], GITEA),
        // A login page for all that is not there.
        (vec![to(gitlab, "303 See\r\nLocation: /user/login", ""), knows(gitea, r#"{"version":"1"}"#)], GITEA),
        (vec![knows(gitlab, "<html>"), knows(gitea, r#"{"version":"11.0.1+gitea-1.22.0"}"#)], GITEA),
    ] {
        let made = to(opens, "201 Created", &right(opens));
        let server = Server::that_says([answers, vec![made]].concat());
        let forge = forge(&server, false);
        assert!(server.lines().is_empty(), "nobody was asked so far");
        assert!(forge.propose(&PROPOSAL).unwrap().opened);
        assert_eq!(server.lines().last().unwrap(), opens);
    }
}

#[test]
fn a_forge_below_a_folder_of_its_host_is_found_there() {
    let (probe, opens) = ("GET /git/api/v1/version", "POST /git/api/v1/repos/org/repo/pulls");
    let mut made = pull(3, "dockerops/web", "main", 7);
    made["html_url"] = "{root}/git/org/repo/pulls/3".into();
    let server =
        Server::that_says([to(probe, "200 OK", r#"{"version":"1.24.0"}"#), to(opens, "201 Created", &made)]);
    let line = format!("http://bot:{TOKEN}@{}", server.address);
    let url = format!("http://{}/git/org/repo", server.address);
    let forge = forge_of(&url, &line, None).unwrap().unwrap();
    assert_eq!(forge.propose(&PROPOSAL).unwrap().number, 3);
}

#[test]
fn a_host_that_is_none_of_them_is_told_with_those_that_are_known() {
    let server = Server::that_says([to("GET /api/v4/version", "502 Bad Gateway", "<html>")]);
    let told = failure(&forge(&server, false));
    assert!(told.contains("/api/v4/version` answers 502") && told.contains("/api/v1/version` answers 404"));
    assert!(told.contains("GitHub (`github.com`, or what `GH_HOST` names), GitLab, and Gitea or Forgejo"));
}

#[test]
fn names_say_which_forge_it_is_and_where_its_api_is() {
    for (url, gh_host, wanted) in [
        ("https://github.com/org/repo", None, Some("https://api.github.com")),
        ("http://github.com/org/repo", None, Some("https://api.github.com")),
        ("git@github.com:org/repo.git", None, Some("https://api.github.com")),
        ("ssh://git@ssh.github.com:443/org/repo", None, Some("https://api.github.com")),
        ("https://acme.ghe.com/org/repo", None, Some("https://api.acme.ghe.com")),
        ("https://ghe.example/org/repo", Some("ghe.example"), Some("https://ghe.example/api/v3")),
        ("git@ghe.example:org/repo", Some("ghe.example"), Some("https://ghe.example/api/v3")),
        ("https://ghe.example:8443/org/repo", Some("ghe.example"), None),
        ("https://gitlab.com/org/sub/repo", None, Some("https://gitlab.com/api/v4")),
        ("http://gitlab.example:81/org/repo", None, Some("http://gitlab.example:81/api/v4")),
        ("ssh://git@gitlab.example:2222/org/repo", None, Some("https://gitlab.example/api/v4")),
        ("https://github.com.evil.example/org/repo", None, None),
        ("https://mygitlab.example/org/repo", None, None),
    ] {
        let place = Place::of(&Source::parse(url).unwrap()).unwrap();
        let api = named(&place, gh_host).map(|forge| forge.api(&place, ""));
        assert_eq!(api.as_deref(), wanted, "{url}");
    }
}

#[test]
fn the_token_is_that_of_this_host_in_the_file_for_pushing() {
    let lines = "https://a:general@git.example\nhttps://b:exact@git.example/org/repo.git\n\
                 http://c:plain@git.example\nhttps://d:@empty.example\nhttps://e:other@git.example:8443\n";
    for (url, wanted) in [
        ("git@git.example:org/repo", "exact"),
        ("ssh://git@git.example:2222/org/other", "general"),
        ("https://git.example/org/repo", "exact"),
        ("https://git.example:8443/org/repo", "other"),
        ("http://git.example/org/repo", "plain"),
    ] {
        let forge = forge_of(url, lines, None).unwrap().unwrap();
        assert_eq!(forge.token.expose(), wanted, "{url}");
        assert!(!format!("{forge:?}").contains(wanted));
    }
    for url in ["git@elsewhere.example:org/repo", "https://empty.example/org/repo"] {
        let told = with_hint(&forge_of(url, lines, None).unwrap_err());
        assert!(
            told.contains("there is no token for the forge at `")
                && told.contains("`DOCKEROPS_PUSH_CREDENTIALS`")
        );
        assert!(told.contains("the line `https://user:token@"), "{told}");
    }
    let (_, mut access) = access("", None);
    access.credentials_file = Some("/nope".into());
    let told = with_hint(&Forge::of(&Source::parse("https://h/o/r").unwrap(), &access).unwrap_err());
    assert!(told.contains("cannot read `/nope`") && told.contains("name a readable file"), "{told}");
    assert!(Forge::of(&Source::parse("/srv/git/repo").unwrap(), &access).unwrap().is_none());
}

#[test]
fn a_path_that_names_no_repository_of_a_forge_is_told_before_anything_is_sent() {
    for (path, opens) in [("org", GITLAB), ("org", GITHUB), ("a/b/c", GITHUB), ("a/b/c", GITEA)] {
        let server = Server::that_says([]);
        let mut forge = of_kind(opens, &server);
        forge.place.path = path.into();
        assert!(failure(&forge).contains(&format!("`{path}` is not what ")));
        assert!(server.lines().is_empty());
    }
}

#[test]
fn a_title_that_is_too_long_is_cut_between_letters() {
    assert_eq!(shortened("äöü", 3), "äöü");
    assert_eq!(shortened("äöüß", 3), "äöü…");
}
