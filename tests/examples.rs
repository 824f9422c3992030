//! Every repository in `examples` is right, and is deployed and removed on a Swarm of its own.

use std::fs;
use std::path::Path;

use walkdir::WalkDir;

use crate::support::dockerops::DockerOps;
use crate::support::lab::{Lab, OwnLab};
use crate::support::repo::Repo;

/// The example as somebody copies it; the lab has no public registry, and no NFS.
fn copied(example: &Path, lab: &Lab, nfs: &Path) -> Repo {
    let (repo, image) = (Repo::new(), lab.image("app:1"));
    let (name, tag) = image.rsplit_once(':').unwrap();
    let files = WalkDir::new(example).into_iter().map(|entry| entry.unwrap().into_path());
    for file in files.filter(|file| file.is_file()) {
        let mut text = fs::read_to_string(&file).unwrap();
        for public in ["nginx:1.29-alpine", "postgres:17-alpine", "adminer:5"] {
            text = text.replace(public, &image);
        }
        text = text
            .replace("IMAGE=nginx", &format!("IMAGE={name}"))
            .replace("TAG=1.29-alpine", &format!("TAG={tag}"));
        text = text.replace("/mnt/nfs", nfs.to_str().unwrap());
        repo.write(file.strip_prefix(example).unwrap().to_str().unwrap(), text);
    }
    repo.commit("The example");
    repo
}

#[test]
fn each_is_deployed_and_removed() {
    let Some(lab) = OwnLab::start() else { return };
    let Some(docker) = crate::fidelity::docker_with_stack_config() else { return };
    let (nfs, secret) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    fs::write(&secret, "value").unwrap();
    lab.docker(&["secret", "create", "shop_db_password", secret.path().to_str().unwrap()]);
    let ops =
        DockerOps::without_docker().env("DOCKER_HOST", lab.docker_host()).with_docker(&docker).limit(150);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let mut names: Vec<_> =
        fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "README.md");
    names.sort_unstable();
    for name in &names {
        assert!(readme.contains(&format!("| `{name}` |")), "{name} is not in the README of the examples");
        let repo = copied(&root.join(name), &lab, nfs.path());
        ops.run(["validate", repo.path().to_str().unwrap(), "--strict"]).success();
        let stacks = fs::read_to_string(repo.path().join("stacks.yaml")).unwrap().matches("- name: ").count();
        ops.run(["watch", &repo.url()]).success().stdout_has(&format!("{stacks} deployed"));
        ops.run(["status", "--exit-code"]).success();
        if name == "shop" {
            let page = nfs.path().join("proxy/pages/index.html");
            assert_eq!(fs::read_to_string(page).unwrap(), "<h1>The shop</h1>\n");
            let app =
                lab.docker(&["service", "inspect", "--format", "{{json .Spec.TaskTemplate}}", "app_app"]);
            assert!(app.contains("/entrypoint-secrets.sh") && app.contains("shop_db_password"), "{app}");
        }
        ops.run(["unwatch", &repo.url()]).success();
        assert_eq!(lab.docker(&["stack", "ls", "--format", "{{.Name}}"]), "", "{name}");
    }
    assert_eq!(names, ["environments", "one-stack", "shop"]);
}
